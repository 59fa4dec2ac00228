// Aligned columns for people. Rows are printed as they come: a million of them is not held to find the widest.

import type { Output } from './output.ts'

/** Rows that are looked at before widths are settled. */
const SAMPLE_ROWS = 200

export interface Column {
  readonly title: string
  readonly right?: boolean
}

export class Table {
  readonly #out: Output
  readonly #columns: readonly Column[]
  #sample: string[][] | undefined = []
  #widths: number[] = []

  constructor(out: Output, columns: readonly Column[]) {
    this.#out = out
    this.#columns = columns
  }

  row(cells: readonly (string | number)[]): Promise<void> {
    const texts = cells.map((cell) => printable(String(cell)))
    if (!this.#sample) return this.#print(texts)
    this.#sample.push(texts)
    return this.#sample.length < SAMPLE_ROWS ? Promise.resolve() : this.end()
  }

  /** Prints what was held back. Without any row nothing is printed, not even titles. */
  async end(): Promise<void> {
    const rows = this.#sample
    this.#sample = undefined
    if (!rows || rows.length === 0) return
    const titles = this.#columns.map((column) => column.title)
    this.#widths = titles.map((title, i) => Math.max(title.length, ...rows.map((row) => row[i]?.length ?? 0)))
    for (const row of [titles, ...rows]) await this.#print(row)
  }

  #print(texts: readonly string[]): Promise<void> {
    const padded = texts.map((text, i) => {
      const width = this.#widths[i] ?? 0
      return this.#columns[i]?.right ? text.padStart(width) : text.padEnd(width)
    })
    return this.#out.line(padded.join('  ').trimEnd())
  }
}

/** Text of strangers without what a terminal would act on. */
export function printable(text: string): string {
  return text.replace(/\p{Cc}/gu, '?')
}
