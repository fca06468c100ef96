// `tsx scripts/guests/fetch.ts`: fetches what the guest tests need and says what there is, or why not.

import { debianGuest, iasl } from './debian.ts'

const guest = await debianGuest()
if ('missing' in guest) console.log(`Debian's kernel: not here (${guest.missing})`)
else for (const [what, value] of Object.entries(guest)) console.log(`${what}: ${value}`)
const tool = await iasl()
console.log(typeof tool === 'string' ? `iasl: ${tool}` : `iasl: not here (${tool.missing})`)
