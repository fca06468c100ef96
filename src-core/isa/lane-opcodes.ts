// WebAssembly SIMD opcodes the lane operations print (core specification, appendix "index of instructions"), without the 0xFD prefix.

/** Per integer shape; 0 where there is none. */
interface IntegerShape {
  readonly splat: number
  readonly extract: number
  readonly replace: number
  readonly eq: number
  readonly gtS: number
  readonly allTrue: number
  readonly bitmask: number
  readonly add: number
  readonly sub: number
  readonly shl: number
  readonly sar: number
  readonly shr: number
}
/** abs, bitmask, shifts and sums lie at the same distance in each shape's block of 32. */
const integer = (splat: number, extract: number, replace: number, eq: number, gtS: number, block: number): IntegerShape => ({
  splat, extract, replace, eq, gtS,
  allTrue: block + 3, bitmask: block + 4, shl: block + 0xb, sar: block + 0xc, shr: block + 0xd, add: block + 0xe, sub: block + 0x11,
})
export const Simd = {
  swizzle: 0x0e, not: 0x4d, and: 0x4e, andnot: 0x4f, or: 0x50, xor: 0x51, bitselect: 0x52, anyTrue: 0x53,
  i8x16: integer(0x0f, 0x16, 0x17, 0x23, 0x27, 0x60),
  i16x8: integer(0x10, 0x19, 0x1a, 0x2d, 0x31, 0x80),
  i32x4: integer(0x11, 0x1b, 0x1c, 0x37, 0x3b, 0xa0),
  i64x2: integer(0x12, 0x1d, 0x1e, 0xd6, 0xd9, 0xc0),
  f32x4: {
    eq: 0x41, lt: 0x43, gt: 0x44, le: 0x45, ge: 0x46, ceil: 0x67, floor: 0x68, trunc: 0x69, nearest: 0x6a,
    abs: 0xe0, sqrt: 0xe3, add: 0xe4, sub: 0xe5, mul: 0xe6, div: 0xe7, pmin: 0xea, pmax: 0xeb,
    convert: 0xfa, demote: 0x5e, truncate: 0xf8,
  },
  f64x2: {
    eq: 0x47, lt: 0x49, gt: 0x4a, le: 0x4b, ge: 0x4c, ceil: 0x74, floor: 0x75, trunc: 0x7a, nearest: 0x94,
    abs: 0xec, sqrt: 0xef, add: 0xf0, sub: 0xf1, mul: 0xf2, div: 0xf3, pmin: 0xf6, pmax: 0xf7,
    convert: 0xfe, promote: 0x5f, truncate: 0xfc,
  },
} as const

/** Scalar opcodes per format: those of `Op` that exist for both, and the conversions. */
export const Float = {
  f32: {
    eq: 0x5b, lt: 0x5d, gt: 0x5e, ge: 0x60, ceil: 0x8d, floor: 0x8e, trunc: 0x8f, nearest: 0x90,
    sqrt: 0x91, add: 0x92, sub: 0x93, mul: 0x94, div: 0x95, toInt32: 0xa8, toInt64: 0xae, fromInt32: 0xb2, fromInt64: 0xb4,
    other: 0xb6, bits: 0xbc, ofBits: 0xbe,
  },
  f64: {
    eq: 0x61, lt: 0x63, gt: 0x64, ge: 0x66, ceil: 0x9b, floor: 0x9c, trunc: 0x9d, nearest: 0x9e,
    sqrt: 0x9f, add: 0xa0, sub: 0xa1, mul: 0xa2, div: 0xa3, toInt32: 0xaa, toInt64: 0xb0, fromInt32: 0xb7, fromInt64: 0xb9,
    other: 0xbb, bits: 0xbd, ofBits: 0xbf,
  },
} as const
