// VM-entry checks on the VM-exit (SDM 3C 26.2.1.2) and VM-entry control fields (26.2.1.3). One that fails is VMfailValid(7).

import { hasErrorCode } from '../../arch/exceptions.ts'
import { EntryControl, ExitControl, Interruption, InterruptionType, Pin, Primary, Secondary } from '../../arch/vmx.ts'
import { allowedEntry, allowedExit, allowedPrimary, isAllowed } from '../capabilities.ts'
import { within, type Candidate, type EntryCheck } from './check.ts'

const exit = within('26.2.1.2')
const LIST = 'a list that is not empty is 16-byte aligned and within the physical-address width'

export const exitControlChecks: readonly EntryCheck[] = [
  exit('exitControls.allowed', ['exitControls'], 'only settings that IA32_VMX_TRUE_EXIT_CTLS allows', (c) => isAllowed(c.exit, allowedExit)),
  exit(
    'savePreemptionTimer.active', ['pinControls', 'exitControls'], 'the preemption timer is saved only when it is active',
    (c) => (c.pin & Pin.activatePreemptionTimer) !== 0 || (c.exit & ExitControl.savePreemptionTimer) === 0,
  ),
  exit('exitMsrStore.address', ['exitMsrStoreAddress', 'exitMsrStoreCount'], LIST, (c) => c.msrList('exitMsrStoreAddress', 'exitMsrStoreCount')),
  exit('exitMsrLoad.address', ['exitMsrLoadAddress', 'exitMsrLoadCount'], LIST, (c) => c.msrList('exitMsrLoadAddress', 'exitMsrLoadCount')),
]

const entry = within('26.2.1.3')
const T = InterruptionType
const event = (id: string, expected: string, test: (c: Candidate) => boolean): EntryCheck =>
  entry(`injection.${id}`, ['entryInterruptionInformation'], expected, (c) => !c.injecting || test(c))

const isSoftware = (c: Candidate): boolean => c.type === T.softwareInterrupt || c.type === T.privilegedSoftwareException || c.type === T.softwareException
const withErrorCode = (c: Candidate): boolean => (c.vmcs.entryInterruptionInformation & Interruption.errorCode) !== 0
/** Bit 11 goes with hardware exceptions that push an error code, in protected mode. */
const wantsErrorCode = (c: Candidate): boolean =>
  c.type === T.hardwareException && hasErrorCode(c.vector) && (c.protectedMode || (c.secondary & Secondary.unrestrictedGuest) === 0)

export const entryControlChecks: readonly EntryCheck[] = [
  entry('entryControls.allowed', ['entryControls'], 'only settings that IA32_VMX_TRUE_ENTRY_CTLS allows', (c) => isAllowed(c.entry, allowedEntry)),
  entry(
    'entryControls.smm', ['entryControls'], 'neither entry to SMM nor deactivation of dual-monitor treatment outside SMM',
    (c) => (c.entry & (EntryControl.entryToSmm | EntryControl.deactivateDualMonitor)) === 0,
  ),
  event('type', 'type 1 is reserved; type 7 only where the monitor trap flag exists', (c) => c.type !== 1 && (c.type !== T.otherEvent || (allowedPrimary.may & Primary.monitorTrapFlag) !== 0)),
  event('nmiVector', 'an NMI has vector 2', (c) => c.type !== T.nmi || c.vector === 2),
  event('exceptionVector', 'a hardware exception has a vector of at most 31', (c) => c.type !== T.hardwareException || c.vector <= 31),
  event('otherVector', 'an other event has vector 0', (c) => c.type !== T.otherEvent || c.vector === 0),
  entry(
    'injection.deliversErrorCode', ['entryInterruptionInformation', 'guestCr0', 'secondaryControls'],
    'bit 11 exactly for hardware exceptions 8, 10 … 14 and 17, and not in an unrestricted guest outside protected mode',
    (c) => !c.injecting || withErrorCode(c) === wantsErrorCode(c),
  ),
  event('reserved', 'bits 30:12 are 0', (c) => (c.vmcs.entryInterruptionInformation & 0x7fff_f000) === 0),
  entry(
    'injection.errorCode', ['entryExceptionErrorCode', 'entryInterruptionInformation'], 'bits 31:16 of an error code are 0',
    (c) => !c.injecting || !withErrorCode(c) || c.vmcs.entryExceptionErrorCode >>> 16 === 0,
  ),
  entry(
    'injection.instructionLength', ['entryInstructionLength', 'entryInterruptionInformation'], 'at most 15 for software events',
    (c) => !c.injecting || !isSoftware(c) || c.vmcs.entryInstructionLength <= 15,
  ),
  entry('entryMsrLoad.address', ['entryMsrLoadAddress', 'entryMsrLoadCount'], LIST, (c) => c.msrList('entryMsrLoadAddress', 'entryMsrLoadCount')),
]
