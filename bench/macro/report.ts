// Where results go: JSON for programs, SVG for people.

import { mkdirSync, writeFileSync } from 'node:fs'
import { dirname, join } from 'node:path'
import type { Machine } from './machine.ts'
import type { BenchOptions } from './options.ts'

export interface Report {
  readonly suite: string
  readonly at: string
  readonly machine: Machine
  readonly options: BenchOptions
  readonly results: unknown
}

const RESULTS = join(import.meta.dirname, '../results')

/** Writes a chart into bench/results and gives back its path. */
export function saveChart(name: string, svg: string): string {
  mkdirSync(RESULTS, { recursive: true })
  const path = join(RESULTS, `${name}.svg`)
  writeFileSync(path, svg)
  return path
}

export function saveJson(path: string, report: Report): void {
  mkdirSync(dirname(path), { recursive: true })
  writeFileSync(path, `${JSON.stringify(report, null, 2)}\n`)
}

export function say(text: string): void {
  process.stdout.write(`${text}\n`)
}
