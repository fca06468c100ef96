import { differences, explain } from './conformance/oracle/compare.ts'
import { fresh } from './conformance/oracle/record.ts'
import { acceptedReason } from './conformance/oracle/masks.ts'
import { freshBeyond } from './conformance/beyond.ts'
import { OurProcessor } from './conformance/executor.ts'
const ours = new OurProcessor()
let n = 0
for (const salt of [11, 22, 33, 44, 55, 66]) for (const v of [...fresh(10, salt), ...freshBeyond(20, salt)]) { n++; const f = differences(v, ours.run(v.case)); if (f.length && !acceptedReason(v, f)) console.log(explain(v, f)) }
console.log(n, 'cases')
