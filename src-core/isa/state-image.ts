// State images in memory: environment, x87 and SSE state (SDM 1 8.1.10, 10.5, 13.7 to 13.9; SDM 2 FXSAVE … XSAVEOPT, LDMXCSR).
// Bodies: cpu/x87/state-image.ts and environment.ts. Not here: XSAVEC, XSAVES and XRSTORS, which the processor does not offer.

import { row, type Row } from './row.ts'

/** The assists check CR0 and CR4 themselves where the rule is no family's: FXSAVE needs neither OSFXSR nor a pending-error check. */
export const stateImage: readonly Row[] = [
  row('FLDENV', 'D9 /4', '@m', (e) => e.assist('fldenv'), { feature: 'FPU', before: (e) => e.available('x87') }),
  row('FNSTENV', 'D9 /6', '@m', (e) => e.assist('fstenv'), { feature: 'FPU', before: (e) => e.available('x87NoWait') }),
  row('FRSTOR', 'DD /4', '@m', (e) => e.assist('frstor'), { feature: 'FPU', before: (e) => e.available('x87') }),
  row('FNSAVE', 'DD /6', '@m', (e) => e.assist('fsave'), { feature: 'FPU', before: (e) => e.available('x87NoWait') }),
  row('FXSAVE', 'NP 0F AE /0', '@m', (e) => e.assist('fxsave'), { feature: 'FXSR' }),
  row('FXRSTOR', 'NP 0F AE /1', '@m', (e) => e.assist('fxrstor'), { feature: 'FXSR' }),
  row('LDMXCSR', 'NP 0F AE /2', '@m', (e) => e.assist('ldmxcsr'), { feature: 'SSE', before: (e) => e.available('sse') }),
  row('STMXCSR', 'NP 0F AE /3', '=m32', (e) => e.call('stmxcsr'), { feature: 'SSE', before: (e) => e.available('sse') }),
  row('XSAVE', 'NP 0F AE /4', '@m', (e) => e.assist('xsave'), { feature: 'XSAVE' }),
  row('XRSTOR', 'NP 0F AE /5', '@m', (e) => e.assist('xrstor'), { feature: 'XSAVE' }),
  row('XSAVEOPT', 'NP 0F AE /6', '@m', (e) => e.assist('xsaveopt'), { feature: 'XSAVEOPT' }),
]
