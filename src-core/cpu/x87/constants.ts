// π, ln 2 and the arctangents of eighths as binary fractions, worked out once from their series (no table to mistype).

/** Fraction bits of the reduction by `reducingPi`; exact for every operand that needs reduction. */
export const REDUCTION = 192
/** Fraction bits of every other fixed-point value here. */
export const F = 160
export const ONE = 1n << BigInt(F)

/** 2^bits × arctan(1/n). */
function arctanInverse(n: bigint, bits: number): bigint {
  let term = (1n << BigInt(bits)) / n
  let sum = term
  for (let k = 3n, minus = true; term !== 0n; k += 2n, minus = !minus) {
    term /= n * n
    sum += minus ? -(term / k) : term / k
  }
  return sum
}
/** 2^bits × 2 artanh(num/den), num ≥ 0. */
export function logarithm(num: bigint, den: bigint, bits: number): bigint {
  let term = (num << BigInt(bits + 8)) / den
  const square = (num * num << BigInt(bits)) / (den * den)
  let sum = 0n
  for (let k = 1n; term !== 0n; k += 2n) {
    sum += term / k
    term = (term * square) >> BigInt(bits)
  }
  return sum >> 7n
}

/** π × 2^F by Machin's formula. */
export const pi = (4n * (4n * arctanInverse(5n, F + 32) - arctanInverse(239n, F + 32))) >> 32n
/** The π that arguments are reduced by: its 66 leading bits (SDM 1 8.3.8), × 2^REDUCTION. */
export const reducingPi = 0xc90fdaa22168c234cn << BigInt(REDUCTION - 66)
/** ln 2 × 2^F = 2 artanh(1/3). */
export const ln2 = logarithm(1n, 3n, F)

/** z·(1 − z²/3 + z⁴/5 …) / z, for |z| ≤ 1/8: the factor, from z² in F bits. */
export function arctanFactor(square: bigint): bigint {
  let sum = 0n
  let power = ONE
  for (let k = 1n, minus = false; power !== 0n; k += 2n, minus = !minus) {
    sum += minus ? -(power / k) : power / k
    power = (power * square) >> BigInt(F)
  }
  return sum
}

/** arctan(k/8) × 2^F, k = 0…8, each from the one before: arctan a = arctan b + arctan((a − b)/(1 + ab)). */
export const arctanEighths: readonly bigint[] = (() => {
  const table = [0n]
  for (let k = 1n; k <= 8n; k++) {
    const z = (8n << BigInt(F)) / (64n + k * (k - 1n))
    table.push(table[Number(k) - 1]! + ((z * arctanFactor((z * z) >> BigInt(F))) >> BigInt(F)))
  }
  return table
})()
