// A plain table for a terminal or a log.

/** Columns aligned: text to the left, numbers to the right. */
export function table(head: readonly string[], rows: readonly (readonly string[])[]): string {
  const widths = head.map((title, column) => Math.max(title.length, ...rows.map((row) => (row[column] ?? '').length)))
  const isNumber = head.map((_, column) => rows.every((row) => /^[~<]?-?[\d.,–]*( ?[a-zµ%×/]+)?$/.test(row[column] ?? '')))
  const line = (cells: readonly string[]): string =>
    cells
      .map((cell, column) => (isNumber[column] ? cell.padStart(widths[column] ?? 0) : cell.padEnd(widths[column] ?? 0)))
      .join('  ')
      .trimEnd()
  return [line(head), line(widths.map((width) => '-'.repeat(width))), ...rows.map(line)].join('\n')
}

export function whole(value: number): string {
  return Math.round(value).toLocaleString('en-US')
}

/** Three significant digits, as many as these measurements bear. */
export function brief(value: number): string {
  return value >= 100 ? whole(value) : String(Number(value.toPrecision(3)))
}
