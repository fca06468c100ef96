// What instructions throw when they fault; the run loop delivers it with RIP still at the instruction (SDM 3A 6.5, "faults").

/** A fault or abort of the guest. Not an Error: no stack trace is collected, since guests raise many. */
export class Fault {
  constructor(
    readonly vector: number,
    /** Pushed if given. */
    readonly errorCode?: number,
    /** Page faults: the linear address for CR2. */
    readonly address?: bigint,
    /** #DB: bits of DR6 that say why. DR6 changes at delivery. */
    readonly debug?: number,
  ) {}
}

/** Thrown by an assist that must run again later at the same instruction: the processor is ahead of the others, or waits. */
export class Again {}
export const again = new Again()
