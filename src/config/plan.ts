// What the targets of one rule amount to: one place without alternatives, or hosts that stand for each other. Pure.

import { err, ok } from '../lib/result.ts'
import type { Result } from '../lib/result.ts'
import { parseTarget } from './target.ts'
import type { HostTarget, Target } from './target.ts'

/** Mail exchangers, hosts in order (at least one), or nowhere on the network. */
export type Plan = { readonly kind: 'hosts'; readonly targets: readonly HostTarget[] } | Exclude<Target, { kind: 'host' }>

/** The plan of a list of targets as people write them; one connection may try them all, so they differ in their place only. */
export function planOf(texts: readonly string[]): Result<Plan, string> {
  const hosts: HostTarget[] = []
  for (const text of texts) {
    const target = parseTarget(text)
    if (!target.ok) return target
    if (target.value.kind === 'host') hosts.push(target.value)
    else if (texts.length === 1) return ok(target.value)
    else return err('only smtp://, smtps://, lmtp:// and lmtp:/PATH can stand in a list')
  }
  const [head] = hosts
  if (!head) return err('has no target')
  if (!hosts.every((host) => isAlternative(head, host))) return err('targets of one list must differ in host and port only')
  return ok({ kind: 'hosts', targets: hosts })
}

function isAlternative(a: HostTarget, b: HostTarget): boolean {
  const same = a.protocol === b.protocol && a.tls === b.tls && a.implicitTls === b.implicitTls
  return same && a.auth?.user === b.auth?.user && a.auth?.password === b.auth?.password && a.auth?.allowPlaintext === b.auth?.allowPlaintext
}
