import assert from 'node:assert/strict'
import { test } from 'node:test'
import { Prng } from '../../src/lib/prng.ts'
import { Agenda, type Timed } from '../../src/queue/agenda.ts'

interface Item extends Timed {
  readonly name: number
}

function item(name: number): Item {
  return { name, wakeAt: Infinity, agendaPlace: -1 }
}

test('items wake at their time and not before', () => {
  const agenda = new Agenda<Item>()
  const late = item(1)
  const early = item(2)
  agenda.set(late, 20)
  agenda.set(early, 10)
  assert.equal(agenda.nextAt, 10)
  assert.equal(agenda.due(9), undefined)
  assert.equal(agenda.due(15), early)
  assert.equal(agenda.due(15), undefined)
  assert.equal(early.wakeAt, Infinity)
  assert.equal(agenda.due(20), late)
  assert.equal(agenda.nextAt, Infinity)
})

test('atMost moves an item forward only, and Infinity takes it out', () => {
  const agenda = new Agenda<Item>()
  const one = item(1)
  agenda.atMost(one, 10)
  agenda.atMost(one, 20)
  assert.equal(agenda.nextAt, 10)
  agenda.set(one, 20)
  assert.equal(agenda.nextAt, 20)
  agenda.set(one, Infinity)
  assert.equal(agenda.size, 0)
})

test('the agenda agrees with a sorted twin over random changes', () => {
  const random = new Prng(3)
  const agenda = new Agenda<Item>()
  const items = Array.from({ length: 300 }, (_, i) => item(i))
  for (let i = 0; i < 20_000; i++) {
    const one = items[random.below(items.length)] as Item
    agenda.set(one, random.below(4) === 0 ? Infinity : random.below(1_000_000))
  }
  const expected = items.filter((one) => one.wakeAt !== Infinity).map((one) => one.wakeAt)
  const woken: number[] = []
  for (let at = agenda.nextAt; at !== Infinity; at = agenda.nextAt) {
    assert.ok(agenda.due(at))
    woken.push(at)
  }
  assert.deepEqual(
    woken,
    expected.sort((a, b) => a - b),
  )
})
