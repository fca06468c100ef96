// VM-entry checks on the host-state area (SDM 3C 26.2.2 … 26.2.4). One that fails is VMfailValid(8).

import type { FieldName, NarrowField, WideField } from '../../arch/vmcs-fields.ts'
import { Cr4, Efer } from '../../arch/registers.ts'
import { EntryControl, ExitControl } from '../../arch/vmx.ts'
import { CR0_FIXED0, CR0_FIXED1, CR4_FIXED0, CR4_FIXED1 } from '../capabilities.ts'
import { within, type Candidate, type EntryCheck } from './check.ts'

const registers = within('26.2.2')
const segments = within('26.2.3')
const size = within('26.2.4')

const CR4_RESERVED = ~Number(CR4_FIXED1)
const EFER_BITS = Number(Efer.SCE | Efer.LME | Efer.LMA | Efer.NXE)
const LMA_LME = Number(Efer.LMA | Efer.LME)

const canonical = (make: typeof registers, id: string, field: WideField): EntryCheck => make(id, [field], 'canonical', (c) => c.canonical(field))
const selector = (name: string, field: NarrowField): EntryCheck =>
  segments(`host.${name}.selector`, [field], 'RPL and TI are 0', (c) => (c.low(field) & 7) === 0)
const loads = (c: Candidate, control: number): boolean => (c.exit & control) !== 0
/** The processor is in IA-32e mode as the VM entry begins. */
const longNow = (c: Candidate): boolean => (c.core.state.efer & Efer.LMA) !== 0n
const sizes: readonly FieldName[] = ['exitControls', 'entryControls']

export const hostStateChecks: readonly EntryCheck[] = [
  registers(
    'host.cr0.fixed', ['hostCr0'], 'PE, NE and PG are 1, bits 63:32 are 0',
    (c) => c.high('hostCr0') === Number(CR0_FIXED1 >> 32n) && (Number(CR0_FIXED0) & ~c.low('hostCr0')) === 0,
  ),
  registers(
    'host.cr4.fixed', ['hostCr4'], 'VMXE is 1, and only bits that IA32_VMX_CR4_FIXED1 allows',
    (c) => c.high('hostCr4') === 0 && (c.low('hostCr4') & CR4_RESERVED) === 0 && (Number(CR4_FIXED0) & ~c.low('hostCr4')) === 0,
  ),
  registers('host.cr3.width', ['hostCr3'], 'within the physical-address width', (c) => c.narrow('hostCr3')),
  canonical(registers, 'host.sysenterEsp.canonical', 'hostSysenterEsp'),
  canonical(registers, 'host.sysenterEip.canonical', 'hostSysenterEip'),
  registers(
    'host.perfGlobalCtrl.reserved', ['hostPerfGlobalCtrl'], '0: there are no performance counters',
    (c) => !loads(c, ExitControl.loadPerfGlobalCtrl) || (c.low('hostPerfGlobalCtrl') | c.high('hostPerfGlobalCtrl')) === 0,
  ),
  registers('host.pat.types', ['hostPat'], 'memory types 0, 1, 4, 5, 6 or 7', (c) => !loads(c, ExitControl.loadPat) || c.pat('hostPat')),
  registers(
    'host.efer.reserved', ['hostEfer'], 'only SCE, LME, LMA and NXE',
    (c) => !loads(c, ExitControl.loadEfer) || (c.high('hostEfer') === 0 && (c.low('hostEfer') & ~EFER_BITS) === 0),
  ),
  registers(
    'host.efer.addressSpaceSize', ['hostEfer', 'exitControls'], 'LMA and LME are both the host address-space size',
    (c) => !loads(c, ExitControl.loadEfer) || (c.low('hostEfer') & LMA_LME) === (c.host64 ? LMA_LME : 0),
  ),

  selector('cs', 'hostCsSelector'),
  selector('ss', 'hostSsSelector'),
  selector('ds', 'hostDsSelector'),
  selector('es', 'hostEsSelector'),
  selector('fs', 'hostFsSelector'),
  selector('gs', 'hostGsSelector'),
  selector('tr', 'hostTrSelector'),
  segments('host.cs.null', ['hostCsSelector'], 'not 0', (c) => c.low('hostCsSelector') !== 0),
  segments('host.tr.null', ['hostTrSelector'], 'not 0', (c) => c.low('hostTrSelector') !== 0),
  segments('host.ss.null', ['hostSsSelector', 'exitControls'], 'not 0 for a 32-bit host', (c) => c.host64 || c.low('hostSsSelector') !== 0),
  canonical(segments, 'host.fs.base', 'hostFsBase'),
  canonical(segments, 'host.gs.base', 'hostGsBase'),
  canonical(segments, 'host.gdtr.base', 'hostGdtrBase'),
  canonical(segments, 'host.idtr.base', 'hostIdtrBase'),
  canonical(segments, 'host.tr.base', 'hostTrBase'),

  size(
    'addressSpace.outsideIa32e', sizes, 'neither an IA-32e guest nor a 64-bit host from outside IA-32e mode',
    (c) => longNow(c) || !(c.entry & EntryControl.ia32eModeGuest || c.host64),
  ),
  size('addressSpace.insideIa32e', sizes, 'a 64-bit host in IA-32e mode', (c) => !longNow(c) || c.host64),
  size('addressSpace.guest64', sizes, 'no IA-32e guest of a 32-bit host', (c) => c.host64 || !c.ia32e),
  size('host.cr4.pcide', ['hostCr4', 'exitControls'], 'PCIDE is 0 for a 32-bit host', (c) => c.host64 || (c.low('hostCr4') & Number(Cr4.PCIDE)) === 0),
  size('host.rip.high', ['hostRip', 'exitControls'], 'bits 63:32 are 0 for a 32-bit host', (c) => c.host64 || c.high('hostRip') === 0),
  size('host.cr4.pae', ['hostCr4', 'exitControls'], 'PAE is 1 for a 64-bit host', (c) => !c.host64 || (c.low('hostCr4') & Number(Cr4.PAE)) !== 0),
  size('host.rip.canonical', ['hostRip', 'exitControls'], 'canonical for a 64-bit host', (c) => !c.host64 || c.canonical('hostRip')),
]
