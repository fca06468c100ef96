// The 8042's translation of scan code set 2 to set 1 (IBM PS/2 Technical Reference, keyboard controller). Codes it
// does not translate pass unchanged; a break (F0H and the code) becomes the code with bit 7 set.

const TABLE = `
  ff43413f3d3b3c58 644442403e0f2959 65382a701d10025a 66712c1f1e11035b
  672e2d201205045c 68392f211413065d 693130232215075e 6a7232241608095f
  6b332517180b0a60 6c34352627190c61 6d7328741a0d62 6e 3a361c1b752b6376
  5556777879 7a0e7b 7c4f7d4b477e7f6f 5253504c4d480145 574e514a37494654
`

const codes = TABLE.replace(/\s/g, '')
  .match(/../g)!
  .map((hex) => parseInt(hex, 16))

/** Indexed by set 2 code, 256 entries. */
export const SET_2_TO_1: readonly number[] = Array.from({ length: 256 }, (_, code) =>
  code === 0x83 ? 0x41 : code === 0x84 ? 0x54 : (codes[code] ?? code),
)
