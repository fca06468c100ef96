// The source of the `large` workload: more code than stays translated for long, none of it hot for long. The text depends on the
// numbers below alone.

const FUNCTIONS = 1280
const STATEMENTS = 14
const SEED = 0x2545f491

/** C source: FUNCTIONS functions of ~50 instructions with branches and loads, called in random order, some calling others. */
export function largeSource(): string {
  let state = SEED
  const random = (below: number) => {
    state ^= state << 13
    state ^= state >>> 17
    state ^= state << 5
    state >>>= 0
    return state % below
  }
  const constant = () => `0x${(random(0x7fffffff) | 1).toString(16)}u`
  const variables = ['a', 'b', 'c', 'd']
  const variable = () => variables[random(4)]!
  const statement = (): string => {
    const [x, y, z] = [variable(), variable(), variable()]
    switch (random(9)) {
      case 0:
        return `${x} = ${y} * ${constant()} + ${z};`
      case 1:
        return `${x} ^= ${y} >> ${1 + random(30)} ^ ${z};`
      case 2:
        return `if (${x} & ${1 << random(12)}u) ${y} += ${constant()}; else ${z} -= ${x};`
      case 3:
        return `${x} += data[(${y} >> ${random(16)}) & 1023];`
      case 4:
        return `data[${random(1024)}] = ${x} + ${y};`
      case 5:
        return `if (${x} < (${y} ^ ${constant()})) ${z} = ${z} << ${1 + random(15)} | ${z} >> ${17 + random(14)};`
      case 6:
        return `${x} -= ${y} & ${constant()};`
      case 7:
        return `for (uint32_t i = ${1 + random(3)}; i; i--) ${x} = ${x} * 3 + ${y};`
      default:
        return `${x} = (${y} | ${constant()}) + (${z} ^ ${x});`
    }
  }
  const lines = [
    `// Large code: ${FUNCTIONS} generated functions called through a table in random order.`,
    '#include "kernel.h"',
    '',
    'static uint32_t data[1024];',
  ]
  for (let f = 0; f < FUNCTIONS; f++) {
    const call = f > 0 && random(4) === 0 ? `a ^= f${random(f)}(b, c);` : 'b += c;'
    const body = Array.from({ length: STATEMENTS }, statement)
    lines.push(
      `__attribute__((noipa)) static uint32_t f${f}(uint32_t a, uint32_t b) {`,
      `  uint32_t c = a ^ ${constant()}, d = b + ${constant()};`,
      ...body.map((s) => `  ${s}`),
      `  ${random(3) === 0 ? call : 'c ^= d;'}`,
      '  return a + b * 3 + c * 5 + d * 7;',
      '}',
    )
  }
  lines.push(
    '',
    'static uint32_t (*const table[])(uint32_t, uint32_t) = {',
    ...Array.from({ length: FUNCTIONS / 16 }, (_, r) => `    ${Array.from({ length: 16 }, (_, i) => `f${r * 16 + i}`).join(', ')},`),
    '};',
    '',
    'uint32_t workload(uint32_t n) {',
    '  uint32_t random = 1, sum = 0;',
    '  for (uint32_t round = 0; round < n; round++)',
    `    for (uint32_t i = 0; i < 10000; i++) sum = mix(sum, table[next_random(&random) % ${FUNCTIONS}](sum, i));`,
    '  return sum;',
    '}',
    '',
  )
  return lines.join('\n')
}
