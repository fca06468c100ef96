import { differences, explain } from './conformance/oracle/compare.ts'
import { fresh } from './conformance/oracle/record.ts'
import { acceptedReason } from './conformance/oracle/masks.ts'
import { OurProcessor } from './conformance/executor.ts'
const ours = new OurProcessor()
let n = 0
for (const salt of [101, 202, 303, 404, 505, 606, 707]) for (const v of fresh(10, salt)) { if (!/^(Ud|Push_rm16)/.test(v.case.code)) continue; n++; const f = differences(v, ours.run(v.case)); if (f.length && !acceptedReason(v, f)) console.log(explain(v, f)) }
console.log(n, 'cases')
