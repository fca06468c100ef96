// What the assembler says when a text is wrong: where, what, and what to do about it.

/** A place in the source. `line` and `column` count from 1. `inMacro` names the macro whose body the line came from. */
export interface Place {
  readonly file: string
  readonly line: number
  readonly column: number
  readonly inMacro?: string
}

export interface Diagnostic extends Place {
  readonly problem: string
  readonly hint?: string
}

const draw = (d: Diagnostic): string =>
  `${d.file}:${d.line}:${d.column}: ${d.problem}${d.inMacro ? ` (in macro ${d.inMacro})` : ''}${d.hint ? `\n  hint: ${d.hint}` : ''}`

/** The only error `assemble` throws. Its own fields are the first diagnostic's; `diagnostics` holds all (at most 20), in source order. */
export class AssemblyError extends Error implements Diagnostic {
  readonly file: string
  readonly line: number
  readonly column: number
  readonly inMacro?: string
  readonly problem: string
  readonly hint?: string

  constructor(readonly diagnostics: readonly [Diagnostic, ...Diagnostic[]]) {
    super(diagnostics.map(draw).join('\n'))
    this.name = 'AssemblyError'
    const first = diagnostics[0]
    this.file = first.file
    this.line = first.line
    this.column = first.column
    if (first.inMacro !== undefined) this.inMacro = first.inMacro
    this.problem = first.problem
    if (first.hint !== undefined) this.hint = first.hint
  }
}

/** One fault at a column of the line being read; the caller adds file and line. */
export class LineFault extends Error {
  constructor(
    readonly column: number,
    readonly problem: string,
    readonly hint?: string,
  ) {
    super(problem)
  }
}
