// The guest that `--kernel` and its companions name, laid out for one board; Minos without them.

import { firmware } from '../../src-core/board/firmware.ts'
import type { BoardConfig } from '../../src-core/board/config.ts'
import { ImageError, type LoadedImage, type NamedFile } from '../../src-core/guests/image.ts'
import { loadImage } from '../../src-core/guests/load.ts'
import { minosImage } from '../../src-core/guests/minos/load.ts'
import { readInput } from './files.ts'
import type { GuestOptions } from './options.ts'
import { CommandError, Status } from './status.ts'

async function named(path: string): Promise<NamedFile> {
  return { name: path, data: await readInput(path) }
}

/** Rejects with CommandError: 66 for a file that cannot be read, 65 for one that cannot be loaded. */
export async function loadGuest(options: GuestOptions, config: BoardConfig): Promise<LoadedImage> {
  const kernel = options.kernel === undefined ? { name: 'Minos', data: minosImage() } : await named(options.kernel)
  const initrd = options.initrd === undefined ? undefined : await named(options.initrd)
  const { map, rsdp, bootArea } = firmware(config)
  try {
    return await loadImage({ kernel, initrd, append: options.append, loadAt: options.loadAt, platform: { map, rsdp, bootArea } })
  } catch (error) {
    if (error instanceof ImageError) throw new CommandError(Status.data, error.message)
    throw error
  }
}
