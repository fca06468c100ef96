// The VM-execution, VM-exit and VM-entry controls of our guests, fitted to what the processor allows (SDM 3C 24.6 … 24.8, A.2 … A.5),
// and the MSR bitmap (24.6.9). A guest keeps CR3, exceptions, INVLPG, the TSC and its system-call MSRs without exits.

import { Msr } from '../arch/msr.ts'
import { EntryControl, ExitControl, Pin, Primary, Secondary, VmxMsr } from '../arch/vmx.ts'
import { MonitorError, type VmxPort } from './port.ts'

export interface ControlWords {
  readonly pin: number
  readonly primary: number
  readonly secondary: number
  readonly exit: number
  readonly entry: number
}

const wanted = {
  pin: Pin.externalInterruptExiting + Pin.nmiExiting + Pin.virtualNmis,
  primary:
    Primary.useTscOffsetting + Primary.hltExiting + Primary.cr8LoadExiting + Primary.cr8StoreExiting + Primary.unconditionalIoExiting + Primary.useMsrBitmaps +
    Primary.activateSecondaryControls,
  secondary: Secondary.enableEpt + Secondary.unrestrictedGuest + Secondary.enableRdtscp + Secondary.enableInvpcid + Secondary.enableVpid,
  exit:
    ExitControl.hostAddressSpaceSize + ExitControl.acknowledgeInterrupt + ExitControl.savePat + ExitControl.loadPat + ExitControl.saveEfer + ExitControl.loadEfer +
    ExitControl.saveDebugControls,
  entry: EntryControl.loadPat + EntryControl.loadEfer + EntryControl.loadDebugControls,
}

/** Throws MonitorError naming the control that the processor does not have. */
export function controlWords(port: VmxPort): ControlWords {
  const fit = (name: keyof ControlWords, index: number): number => {
    const capability = port.rdmsr(index)
    if (capability === undefined) throw new MonitorError(`no ${name} controls: MSR ${index.toString(16).toUpperCase()}H does not exist`)
    const must = Number(capability & 0xffff_ffffn)
    const may = Number(capability >> 32n)
    const missing = (wanted[name] & ~may) >>> 0
    if (missing) throw new MonitorError(`the processor lacks ${name} controls ${missing.toString(16).toUpperCase()}H`)
    return (wanted[name] | must) >>> 0
  }
  return {
    pin: fit('pin', VmxMsr.truePin),
    primary: fit('primary', VmxMsr.truePrimary),
    secondary: fit('secondary', VmxMsr.secondary),
    exit: fit('exit', VmxMsr.trueExit),
    entry: fit('entry', VmxMsr.trueEntry),
  }
}

const readAndWritten = [
  Msr.SYSENTER_CS, Msr.SYSENTER_ESP, Msr.SYSENTER_EIP, Msr.PAT, Msr.EFER, Msr.STAR, Msr.LSTAR, Msr.CSTAR, Msr.FMASK, Msr.FS_BASE, Msr.GS_BASE, Msr.KERNEL_GS_BASE,
  Msr.TSC_AUX,
]
const HIGH = 0xc0000000

/** A 4-KiB MSR bitmap: reads of low and high MSRs, then writes, 1 KiB each; 1 exits. */
export function msrBitmap(): Uint8Array {
  const bitmap = new Uint8Array(4096).fill(0xff)
  const pass = (index: number, write: boolean): void => {
    const high = index >= HIGH
    const n = high ? index - HIGH : index
    bitmap[(high ? 1024 : 0) + (write ? 2048 : 0) + (n >> 3)]! &= ~(1 << (n & 7))
  }
  for (const index of readAndWritten) {
    pass(index, false)
    pass(index, true)
  }
  pass(Msr.TSC, false)
  return bitmap
}
