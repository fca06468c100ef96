// Watches serial output for a text, byte by byte (Knuth, Morris and Pratt's automaton).

export class Until {
  private readonly text: Uint8Array
  /** back[n]: how much of the text still matches when byte n of it does not. */
  private readonly back: number[] = [0]
  private matched = 0
  seen = false

  /** `text` is not empty; compared as UTF-8. */
  constructor(text: string) {
    this.text = new TextEncoder().encode(text)
    for (let n = 1, k = 0; n < this.text.length; n++) {
      while (k > 0 && this.text[n] !== this.text[k]) k = this.back[k - 1]!
      if (this.text[n] === this.text[k]) k++
      this.back[n] = k
    }
  }

  /** Takes the next byte; true from the byte on that completes the text. */
  take(byte: number): boolean {
    if (this.seen) return true
    while (this.matched > 0 && byte !== this.text[this.matched]) this.matched = this.back[this.matched - 1]!
    if (byte === this.text[this.matched]) this.matched++
    this.seen = this.matched === this.text.length
    return this.seen
  }
}
