// (being filled in) delivery status notifications, RFC 3461-3464, RFC 6533.
export type DsnAction = 'failed' | 'delayed' | 'delivered' | 'relayed' | 'expanded'
export interface DsnRecipient {
  readonly address: string
  readonly notify: number
  readonly orcpt: string
  readonly action: DsnAction
  readonly code: number
  readonly enhanced: string
  readonly text: string
  readonly peer: string
  readonly peerDsn: boolean
  readonly peerDeliverBy: boolean
  readonly expired: boolean
  readonly lastAttemptAt: number
  readonly retryUntil: number
}
export interface DsnEnvelope {
  readonly sender: string
  readonly envid: string
  readonly flags: number
  readonly deliverBy: number
  readonly acceptedAt: number
  readonly bytes: number
}
export interface DsnFacts {
  readonly queueId: string
  readonly envelope: DsnEnvelope
  readonly recipients: readonly DsnRecipient[]
  readonly hostname: string
  readonly postmaster: string
  readonly at: number
  readonly messageId: string
  readonly boundary: string
  readonly header: Buffer
  readonly message: Buffer | undefined
}
export interface Dsn {
  readonly sender: ''
  readonly recipient: string
  readonly body: Buffer
  readonly flags: number
}
export declare function dsnOwed(envelope: DsnEnvelope, recipient: DsnRecipient): boolean
export declare function composeDsn(facts: DsnFacts): Dsn | undefined
