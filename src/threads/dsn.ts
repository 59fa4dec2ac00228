// Delivery status notifications: joins the spool's facts and the composer of queue/dsn.ts. Net threads.

import type { Config } from '../config/schema.ts'
import { composeDsn } from '../queue/dsn.ts'
import { idToText } from '../spool/ids.ts'
import type { ComposedDsn, DsnFacts } from '../spool/ports.ts'
import { QueueClass } from '../spool/types.ts'

/** End of the header section in `content`, behind the empty line; all of it when there is none. */
function headerEnd(content: Buffer): number {
  const at = content.indexOf('\r\n\r\n')
  return at < 0 ? content.length : at + 4
}

/** What the owner calls for each report that is owed. Pure: the same facts give the same bytes. */
export function dsnComposer(config: Config): (facts: DsnFacts) => ComposedDsn | undefined {
  const { hostname, postmaster } = config
  return (facts) => {
    const { envelope, row, content } = facts
    const queueId = idToText(facts.id)
    const common = {
      peer: facts.peer,
      peerDsn: facts.peerDsn,
      peerDeliverBy: facts.peerDeliverBy,
      lastAttemptAt: facts.lastAttemptAt,
      retryUntil: row.expires,
    }
    const dsn = composeDsn({
      queueId: idToText(envelope.id),
      envelope,
      recipients: facts.recipients.map((recipient) => ({ ...recipient, ...common, expired: facts.expired })),
      hostname,
      postmaster,
      at: facts.now,
      messageId: `${queueId}@${hostname}`,
      boundary: `=_${queueId}`,
      header: content.subarray(0, headerEnd(content)),
      message: facts.complete ? content : undefined,
    })
    if (!dsn) return undefined
    const domain = dsn.recipient.slice(dsn.recipient.lastIndexOf('@') + 1).toLowerCase()
    return {
      envelope: {
        id: facts.id,
        acceptedAt: facts.now,
        sender: '',
        flags: dsn.flags,
        bytes: dsn.body.length,
        envid: '',
        tenant: envelope.tenant,
        account: '',
        client: '',
        priority: 0,
        deliverBy: 0,
        class: QueueClass.transactional,
      },
      recipients: [{ address: dsn.recipient, notify: 0, orcpt: '', domain }],
      body: dsn.body,
    }
  }
}
