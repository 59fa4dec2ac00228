// Rows of any keys: JSON lines for programs, a table with the first row's keys for people.

import type { CommandContext } from './command.ts'
import { Table } from './table.ts'

export interface RowPrinter {
  row(row: object): Promise<void>
  end(): Promise<void>
}

export function objectTable(context: CommandContext): RowPrinter {
  if (context.json) return { row: (row) => context.out.json(row), end: () => Promise.resolve() }
  let table: Table | undefined
  return {
    row: (row) => {
      table ??= new Table(
        context.out,
        Object.entries(row).map(([title, value]) => ({ title, right: typeof value === 'number' })),
      )
      return table.row(Object.values(row).map(String))
    },
    end: async () => table?.end(),
  }
}
