// Bytes of a form, by walking its row's encoding (SDM vol. 2, 2.1 and 3.1.1.1). Memory operands are [rBX] or moffs.

import { hasModrm, type ImmediateKind } from '../../src-core/isa/encoding.ts'
import type { Form } from '../../src-core/isa/forms.ts'

/** What the walk leaves open. */
export interface Choice {
  readonly mode: 32 | 64
  /** ModRM.reg, or the opcode's register, where the row does not fix it; 0…7. */
  readonly reg: number
  /** ModRM.rm of the register form. */
  readonly rm: number
  /** The address in a moffs. */
  readonly address: bigint
  readonly immediate: number
}

const RBX = 3

/** The shortest encoding of a form; undefined: the form does not exist in this mode. */
export function encode(form: Form, choice: Choice): Uint8Array | undefined {
  const { encoding: e, row } = form
  const { modes, size64 } = row.attributes
  const wide = choice.mode === 64
  if (wide ? modes === 'not64' : modes === 'only64' || form.size === 64 || e.rexW) return undefined
  if (wide && form.sized && form.size === 32 && size64 !== undefined) return undefined
  if (wide && form.size === 16 && size64 === 'forced') return undefined
  const out: number[] = []
  if (form.repeat !== '') out.push(form.repeat === 'rep' ? 0xf3 : 0xf2)
  if (e.prefix === '66' || e.prefix === 'F2' || e.prefix === 'F3') out.push(parseInt(e.prefix, 16))
  if (form.sized && form.size === 16 && e.prefix !== '66') out.push(0x66)
  if (wide && (e.rexW || (form.sized && form.size === 64 && size64 === undefined))) out.push(0x48)
  if (e.map > 0) out.push(0x0f)
  if (e.map > 1) out.push(e.map === 2 ? 0x38 : 0x3a)
  out.push(e.opcode + (e.plusRegister ? choice.reg : 0))
  if (hasModrm(e)) {
    if (e.literal !== undefined) out.push(e.literal + (e.literalPlusIndex ? choice.reg : 0))
    else out.push((form.memory ? RBX : 0xc0 | choice.rm) | ((typeof e.modrm === 'number' ? e.modrm : choice.reg) << 3))
  }
  e.immediates.forEach((kind) => {
    const size = bytesOf(kind, form, choice.mode)
    const value = kind === 'mo' ? choice.address : BigInt(choice.immediate)
    for (let i = 0; i < size; i++) out.push(Number((value >> BigInt(8 * i)) & 0xffn))
  })
  return Uint8Array.from(out)
}

function bytesOf(kind: ImmediateKind, form: Form, mode: 32 | 64): number {
  if (kind === 'mo') return mode / 8
  if (kind === 'i' || kind === 'c') return form.size === 16 ? 2 : 4
  return { b: 1, w: 2, d: 4, o: 8 }[kind[1] as 'b' | 'w' | 'd' | 'o']
}
