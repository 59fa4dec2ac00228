// Large providers: how their hosts are recognised and what they ask of senders. Data; users override it (shaping.ts).
//
// Start values from the providers' postmaster pages and what operators see.

import type { Reaction } from './ports.ts'
import type { LimitValues } from './shaping.ts'

export interface Provider {
  /** Name in suspensions, rules and figures. */
  readonly name: string
  /** Domains that its mail exchangers are in. */
  readonly hostsIn: readonly string[]
  readonly limits: Partial<LimitValues>
}

const HOUR_MS = 3_600_000

/** Yahoo: "Messages temporarily deferred due to user complaints". */
const TS04: Reaction = { text: 'TS04', pauseMs: 2 * HOUR_MS }
/** Comcast: "Too many messages"; what it takes then is known. */
const RL0000: Reaction = { text: 'RL0000', messageRate: { count: 10_000, periodMs: HOUR_MS }, forMs: 24 * HOUR_MS }

export const PROVIDERS: readonly Provider[] = [
  {
    name: 'google',
    hostsIn: ['google.com', 'googlemail.com'],
    limits: { connections: 5, messagesPerConnection: 50, tlsRequired: true },
  },
  { name: 'yahoo', hostsIn: ['yahoodns.net'], limits: { messagesPerConnection: 20, reactions: [TS04] } },
  {
    name: 'outlook',
    hostsIn: ['olc.protection.outlook.com'],
    limits: { connections: 5, messagesPerConnection: 50 },
  },
  {
    name: 'microsoft365',
    hostsIn: ['mail.protection.outlook.com', 'mx.microsoft'],
    limits: { connections: 5, messagesPerConnection: 50 },
  },
  { name: 'apple', hostsIn: ['icloud.com'], limits: { connections: 10, messagesPerConnection: 5 } },
  { name: 'comcast', hostsIn: ['comcast.net'], limits: { connections: 25, reactions: [RL0000] } },
  { name: 'mimecast', hostsIn: ['mimecast.com'], limits: { connections: 10, messagesPerConnection: 100 } },
  { name: 'orange', hostsIn: ['orange.fr'], limits: { connections: 2, messagesPerConnection: 100, tlsRequired: true } },
]
