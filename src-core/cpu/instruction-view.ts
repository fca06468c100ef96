// The instruction at hand as assists read it: over the decoded operands and one processor.

import { Vector } from '../arch/exceptions.ts'
import { SS } from '../arch/registers.ts'
import { NO_REGISTER, RIP_REGISTER, type Decoded } from '../isa/decoder.ts'
import type { Form } from '../isa/forms.ts'
import type { Operand } from '../isa/operand.ts'
import { Fault } from './fault.ts'
import type { Instruction } from './instruction.ts'
import type { Processor } from './processor.ts'
import { offsets } from '../isa/state.ts'

const ALL = 0xffff_ffff_ffff_ffffn
const masks = { 8: 0xffn, 16: 0xffffn, 32: 0xffff_ffffn, 64: ALL } as const
type Width = keyof typeof masks

export class InstructionView implements Instruction {
  private d!: Decoded

  constructor(private readonly cpu: Processor) {}

  /** Points the view at another instruction, the one at RIP. */
  at(d: Decoded): this {
    this.d = d
    return this
  }
  get rip(): bigint {
    return this.cpu.state.rip
  }
  get nextRip(): bigint {
    return (this.cpu.state.rip + BigInt(this.d.length)) & this.cpu.state.linearMask
  }

  get form(): Form {
    return this.d.form
  }
  get length(): number {
    return this.d.length
  }
  get operandSize(): 16 | 32 | 64 {
    return this.d.operandSize
  }
  get addressSize(): 16 | 32 | 64 {
    return this.d.addressSize
  }
  get rexW(): boolean {
    return this.d.rexW
  }
  get rep(): '' | 'rep' | 'repne' {
    return this.d.repeat
  }
  get immediate(): bigint {
    return BigInt.asUintN(64, (BigInt(this.d.immediateHigh) << 32n) | BigInt(this.d.immediateLow >>> 0))
  }
  get reg(): number {
    return this.d.reg
  }
  get rm(): number {
    return this.d.rm
  }
  get memory(): boolean {
    return this.d.memory
  }
  get segment(): number {
    return this.d.segment
  }
  get base(): number | 'rip' | undefined {
    return this.d.base === RIP_REGISTER ? 'rip' : this.d.base === NO_REGISTER ? undefined : this.d.base
  }
  get index(): number | undefined {
    return this.d.index === NO_REGISTER ? undefined : this.d.index
  }
  get scale(): number {
    return this.d.scale
  }
  get displacement(): number {
    return this.d.displacement
  }

  private get addressMask(): bigint {
    return masks[this.d.addressSize]
  }

  offset(): bigint {
    const { d, cpu } = this
    const gpr = cpu.state.gpr
    let sum = BigInt(d.displacement)
    if (d.base === RIP_REGISTER) sum += this.nextRip
    else if (d.base !== NO_REGISTER) sum += gpr.get(d.base)
    if (d.index !== NO_REGISTER) sum += gpr.get(d.index) << BigInt(d.scale)
    return sum & this.addressMask
  }

  linear(length: number, write: boolean, displacement = 0): bigint {
    return segmentLinear(this.cpu, this.d.segment, (this.offset() + BigInt(displacement)) & this.addressMask, length, write)
  }

  private registerNumber(o: Operand): number {
    return o.place === 'rm' ? this.d.rm : this.d.reg
  }

  operand(i: number): bigint {
    const o = this.d.form.operands[i]!
    const s = this.cpu.state
    switch (o.place) {
      case 'immediate': {
        const first = this.d.form.operands.find((x) => x.place === 'immediate')
        if (o !== first) return BigInt(this.d.immediate2) & masks[o.width as Width]
        return this.immediate & masks[o.width as Width]
      }
      case 'one': return 1n
      case 'relative': return this.nextRip + BigInt.asIntN(64, this.immediate)
      case 'address': return this.offset()
      case 'memory':
      case 'moffs': {
        const offset = o.place === 'moffs' ? this.immediate & this.addressMask : this.offset()
        const linear = segmentLinear(this.cpu, this.d.segment, offset, o.memoryWidth >> 3, false)
        const m = this.cpu.memory
        return o.memoryWidth === 8 ? BigInt(m.read8(linear)) : o.memoryWidth === 16 ? BigInt(m.read16(linear)) : o.memoryWidth === 32 ? BigInt(m.read32(linear)) : m.read64(linear)
      }
      case 'fixed': {
        const at = o.at - offsets.gpr
        return (s.gpr.get(at >> 3) >> BigInt(8 * (at & 7))) & masks[o.width as Width]
      }
      case 'counter': return s.gpr.get(1) & this.addressMask
      default: {
        const n = this.registerNumber(o)
        if (o.file === 'sreg') return BigInt(s.segSelector.get(n))
        if (o.width === 8 && !this.d.rex && n >= 4 && n < 8) return (s.gpr.get(n - 4) >> 8n) & 0xffn
        return s.gpr.get(n) & masks[o.width as Width]
      }
    }
  }

  setOperand(i: number, value: bigint): void {
    const o = this.d.form.operands[i]!
    const s = this.cpu.state
    if (o.place === 'memory') {
      const linear = this.linear(o.memoryWidth >> 3, true)
      const m = this.cpu.memory
      if (o.memoryWidth === 8) m.write8(linear, Number(value & 0xffn))
      else if (o.memoryWidth === 16) m.write16(linear, Number(value & 0xffffn))
      else if (o.memoryWidth === 32) m.write32(linear, Number(value & 0xffff_ffffn))
      else m.write64(linear, value & ALL)
      return
    }
    const fixed = o.place === 'fixed'
    let n = fixed ? (o.at - offsets.gpr) >> 3 : this.registerNumber(o)
    let shift = fixed ? BigInt(8 * ((o.at - offsets.gpr) & 7)) : 0n
    if (!fixed && o.width === 8 && !this.d.rex && n >= 4 && n < 8) {
      n -= 4
      shift = 8n
    }
    const mask = masks[o.width as Width]
    if (o.width >= 32) s.gpr.set(n, value & mask)
    else s.gpr.set(n, (s.gpr.get(n) & ~(mask << shift)) | ((value & mask) << shift))
  }
}

/** Linear address of an offset in a segment register, after the checks of its cache (SDM 3A 5.3). Throws Fault: #GP(0), or #SS(0) through SS. */
export function segmentLinear(cpu: Processor, segment: number, offset: bigint, length: number, write: boolean): bigint {
  const s = cpu.state
  const fail = (): never => {
    throw new Fault(segment === SS ? Vector.SS : Vector.GP, 0)
  }
  const base = s.segEffective.get(segment)
  if (cpu.mode64) {
    const linear = BigInt.asUintN(64, base + offset)
    if (BigInt.asUintN(64, BigInt.asIntN(48, linear)) !== linear) fail()
    return linear
  }
  const first = Number(offset)
  const last = first + length - 1
  if (first < (write ? s.segWriteLow : s.segReadLow).get(segment) || last > (write ? s.segWriteHigh : s.segReadHigh).get(segment)) fail()
  return (base + offset) & 0xffff_ffffn
}
