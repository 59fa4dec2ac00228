import assert from 'node:assert/strict'
import { test } from 'node:test'
import { DomainTable } from '../../src/config/domain-table.ts'

function table(order: 'first' | 'best', patterns: readonly string[]): DomainTable<string> {
  const made = new DomainTable<string>(order)
  for (const pattern of patterns) made.add(pattern, pattern)
  return made
}

test('the order of entries counts, or their precision', () => {
  const all = ['*', '*.a.test', '*.b.a.test', 'c.test', 'x.b.a.test']
  const rows: readonly (readonly [domain: string, first: string, last: string, best: string])[] = [
    ['c.test', '*', 'c.test', 'c.test'],
    ['d.test', '*', '*', '*'],
    ['a.test', '*', '*', '*'],
    ['b.a.test', '*', '*.a.test', '*.a.test'],
    ['y.b.a.test', '*', '*.b.a.test', '*.b.a.test'],
    ['x.b.a.test', '*', 'x.b.a.test', 'x.b.a.test'],
    ['test', '*', '*', '*'],
    ['', undefined as unknown as string, undefined as unknown as string, undefined as unknown as string],
  ]
  for (const [domain, first, last, best] of rows) {
    assert.equal(table('first', all).find(domain), first, domain)
    assert.equal(table('first', all.toReversed()).find(domain), last, domain)
    assert.equal(table('best', all).find(domain), best, domain)
    assert.equal(table('best', all.toReversed()).find(domain), best, domain)
  }
})

test('the first entry of a pattern holds, and names that are properties of objects match nothing', () => {
  const made = new DomainTable<number>('first')
  made.add('a.test', 1)
  made.add('a.test', 2)
  assert.equal(made.find('a.test'), 1)
  for (const name of ['constructor', '__proto__', 'b.test']) assert.equal(made.find(name), undefined)
})
