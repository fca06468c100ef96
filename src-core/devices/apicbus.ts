// The path of interrupt messages between local APICs, I/O APICs and message-signalled interrupts, and the one place
// where destinations are decoded (SDM 3A 11.6.2 xAPIC, 11.12.9–10 x2APIC, 11.11 messages). Section numbers of the
// SDM edition of 2023, where the APIC is chapter 11. Not modelled: interrupt remapping, focus processors.

import type { MessageSink } from '../memory/device.ts'

/** Delivery modes, as in ICR bits 10:8, redirection entries and message data. 3 is reserved. */
export const DELIVERY = { fixed: 0, lowestPriority: 1, smi: 2, nmi: 4, init: 5, startup: 6, extInt: 7 } as const

export interface ApicMessage {
  /** 8 bits, or 32 when `wide` (sent by an ICR in x2APIC mode). */
  readonly destination: number
  readonly wide: boolean
  readonly logical: boolean
  /** One of DELIVERY. */
  readonly delivery: number
  readonly vector: number
  /** Level triggered: its EOI is broadcast. */
  readonly level: boolean
}

/** How a local APIC takes part. */
export interface ApicAgent {
  readonly apicId: number
  readonly mode: 'disabled' | 'xapic' | 'x2apic'
  /** LDR: bits 31:24 in xAPIC mode, cluster and bit in x2APIC mode. */
  readonly logicalId: number
  /** DFR selects the flat model (xAPIC). */
  readonly flat: boolean
  /** Processor priority for lowest-priority arbitration; Infinity takes no part. */
  readonly arbitration: number
  deliver(message: ApicMessage): void
}

/** What senders see. */
export interface InterruptBus {
  send(message: ApicMessage): void
  /** To every agent, or every one but `except` (ICR shorthands). */
  broadcast(message: ApicMessage, except?: ApicAgent): void
  /** A local APIC ended a level-triggered interrupt. */
  eoi(vector: number): void
}

/** Whether `message` is meant for `agent`. */
function isDestination(agent: ApicAgent, message: ApicMessage): boolean {
  const { destination } = message
  if (agent.mode === 'disabled') return false
  if (destination === (message.wide ? 0xffffffff : 0xff)) {
    // All ones is the broadcast, in physical mode and, in flat mode, because every agent has a bit there.
    if (!message.logical || message.wide || agent.mode === 'x2apic') return true
  }
  if (!message.logical) return destination === agent.apicId
  const ldr = agent.logicalId
  if (agent.mode === 'x2apic') return destination >>> 16 === ldr >>> 16 && (destination & ldr & 0xffff) !== 0
  if (destination > 0xff) return false
  const own = ldr >>> 24
  if (agent.flat) return (own & destination) !== 0
  // Cluster model: 7:4 cluster (F = all), 3:0 members
  return (destination >> 4 === 15 || destination >> 4 === own >> 4) && (own & destination & 15) !== 0
}

export class ApicBus implements InterruptBus {
  private readonly agents: ApicAgent[] = []
  private readonly listeners: ((vector: number) => void)[] = []

  attach(agent: ApicAgent): void {
    this.agents.push(agent)
  }

  /** An I/O APIC hears every EOI broadcast. */
  onEoi(listener: (vector: number) => void): void {
    this.listeners.push(listener)
  }

  send(message: ApicMessage): void {
    if (message.delivery !== DELIVERY.lowestPriority) {
      for (const agent of this.agents) if (isDestination(agent, message)) agent.deliver(message)
      return
    }
    // The lowest processor priority wins, the lowest ID among equals (11.6.2.4 leaves the choice to the model).
    let best: ApicAgent | undefined
    for (const agent of this.agents) {
      if (isDestination(agent, message) && agent.arbitration < (best?.arbitration ?? Infinity)) best = agent
    }
    best?.deliver(message)
  }

  broadcast(message: ApicMessage, except?: ApicAgent): void {
    for (const agent of this.agents) if (agent !== except && agent.mode !== 'disabled') agent.deliver(message)
  }

  eoi(vector: number): void {
    for (const listener of this.listeners) listener(vector)
  }

  /**
   * A message-signalled interrupt (11.11). Address: 31:20 FEEH, 19:12 destination, 3 redirection hint, 2 logical.
   * Data: 15 level triggered, 14 assert, 10:8 delivery mode, 7:0 vector. Writes elsewhere are no interrupts.
   */
  readonly message: MessageSink = (address, data) => {
    if (address >>> 20 !== 0xfee) return
    const delivery = (data >> 8) & 7
    const level = (data & 0x8000) !== 0
    if (delivery === 3 || delivery === DELIVERY.startup || (level && (data & 0x4000) === 0)) return
    this.send({ destination: (address >>> 12) & 0xff, wide: false, logical: (address & 4) !== 0, delivery, vector: data & 0xff, level })
  }
}
