// Charts as SVG, written by hand: horizontal bars, and curves of percentiles. Readable on light and dark ground.

import { brief } from './table.ts'

const WIDTH = 760
const LABEL = 190
const COLOURS = ['#2f6f9f', '#c9762b', '#5b8a3c', '#8d5aa5', '#b04a4a', '#6b6b6b']

function escape(text: string): string {
  return text.replaceAll('&', '&amp;').replaceAll('<', '&lt;').replaceAll('>', '&gt;')
}

function text(x: number, y: number, content: string, more = ''): string {
  return `<text x="${x.toFixed(1)}" y="${y.toFixed(1)}" ${more}>${escape(content)}</text>`
}

function frame(height: number, title: string, note: string, inside: string): string {
  return `<svg xmlns="http://www.w3.org/2000/svg" width="${WIDTH}" height="${height}" viewBox="0 0 ${WIDTH} ${height}" font-family="sans-serif" font-size="13" fill="#333">
<rect width="${WIDTH}" height="${height}" fill="#fff"/>
${text(16, 26, title, 'font-size="16" font-weight="bold"')}
${text(16, 44, note, 'fill="#777"')}
${inside}
</svg>
`
}

export interface Bar {
  readonly label: string
  readonly value: number
  /** Bars of one series have one colour. */
  readonly series: number
}

/** Bars from zero, each with its value. */
export function bars(title: string, note: string, unit: string, items: readonly Bar[]): string {
  const max = Math.max(1e-9, ...items.map((item) => item.value))
  const rows = items.map((item, index) => {
    const y = 60 + index * 26
    const width = (item.value / max) * (WIDTH - LABEL - 130)
    const colour = COLOURS[item.series % COLOURS.length] as string
    return `${text(LABEL - 8, y + 14, item.label, 'text-anchor="end"')}
<rect x="${LABEL}" y="${y}" width="${width.toFixed(1)}" height="19" fill="${colour}"/>
${text(LABEL + width + 6, y + 14, `${brief(item.value)} ${unit}`)}`
  })
  return frame(76 + items.length * 26, title, note, rows.join('\n'))
}

export interface Curve {
  readonly label: string
  /** Points of percentile and value, both ascending. */
  readonly points: readonly (readonly [percentile: number, value: number])[]
}

const PLOT = { left: 70, right: WIDTH - 160, top: 64, bottom: 340 } as const

/** Percentiles on a scale that widens towards 100 %; values on a logarithmic one. */
export function curves(title: string, note: string, unit: string, items: readonly Curve[]): string {
  const nines = (percentile: number): number => -Math.log10(Math.max(1e-4, 1 - percentile / 100))
  const values = items.flatMap((item) => item.points.map(([, value]) => Math.max(1e-3, value)))
  const low = Math.floor(Math.log10(Math.min(...values)))
  const high = Math.max(low + 1, Math.ceil(Math.log10(Math.max(...values))))
  const x = (percentile: number): number => PLOT.left + (nines(percentile) / 4) * (PLOT.right - PLOT.left)
  const y = (value: number): number => PLOT.bottom - ((Math.log10(Math.max(1e-3, value)) - low) / (high - low)) * (PLOT.bottom - PLOT.top)
  const ticks = Array.from({ length: high - low + 1 }, (_, index) => 10 ** (low + index)).map(
    (value) =>
      `<path d="M${PLOT.left} ${y(value).toFixed(1)}H${PLOT.right}" stroke="#ddd"/>${text(PLOT.left - 8, y(value) + 4, `${Number(value.toPrecision(1))} ${unit}`, 'text-anchor="end"')}`,
  )
  const marks = [0, 50, 90, 99, 99.9].map((percentile) => text(x(percentile), PLOT.bottom + 20, `${percentile} %`, 'text-anchor="middle"'))
  const lines = items.map((item, index) => {
    const colour = COLOURS[index % COLOURS.length] as string
    const path = item.points
      .map(([percentile, value], at) => `${at === 0 ? 'M' : 'L'}${x(percentile).toFixed(1)} ${y(value).toFixed(1)}`)
      .join('')
    const end = item.points.at(-1) ?? [0, 1]
    return `<path d="${path}" fill="none" stroke="${colour}" stroke-width="2"/>${text(PLOT.right + 8, y(end[1]) + 4, item.label, `fill="${colour}"`)}`
  })
  return frame(PLOT.bottom + 40, title, note, [...ticks, ...marks, ...lines].join('\n'))
}
