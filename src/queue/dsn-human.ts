// The part of a notification that people read: what happened, to whom, what the server said, what to do.

import { adviceFor } from './dsn-advice.ts'
import type { DsnAction, DsnFacts, DsnRecipient } from './dsn.ts'
import { isAscii, mailDate, type Part, printable, wrap } from './dsn-mime.ts'
import type { Returned } from './dsn-returned.ts'
import { isPeers, remoteMta, replyWords, statusOf } from './dsn-status.ts'

const WIDTH = 72
const INDENT = '    '

/** What is said above the recipients of one action, the most urgent first. */
const SECTIONS: readonly { readonly action: DsnAction; readonly says: (first: DsnRecipient) => string }[] = [
  {
    action: 'failed',
    says: ({ expired }) =>
      expired
        ? 'Your message could not be delivered in time to the recipients below. It will not be tried again.'
        : 'Your message could not be delivered to the recipients below. It will not be tried again.',
  },
  {
    action: 'delayed',
    says: ({ retryUntil }) =>
      `Your message has not been delivered yet to the recipients below. It is still being tried, until ${mailDate(retryUntil)}. You do not have to send it again.`,
  },
  { action: 'delivered', says: () => 'Your message was delivered to the recipients below.' },
  {
    action: 'relayed',
    says: () =>
      'Your message was handed on for the recipients below, to a mail system that does not confirm delivery. Unless that reports a failure, there will be no further notice.',
  },
  { action: 'expanded', says: () => 'Your message was delivered to the addresses below and passed on to those that they stand for.' },
]

export function humanPart(facts: DsnFacts, returned: Returned, eightBitPath: boolean): Part {
  const blocks = [`This is the mail system at ${facts.hostname}.`]
  for (const { action, says } of SECTIONS) {
    const concerned = facts.recipients.filter((recipient) => recipient.action === action)
    const first = concerned[0]
    if (first) blocks.push(paragraph(says(first)), ...concerned.map((recipient) => aboutRecipient(facts, recipient)))
  }
  blocks.push(closing(facts, returned))
  const text = `${blocks.join('\r\n\r\n')}\r\n`
  const plain = isAscii(text)
  return {
    type: `text/plain; charset=${plain ? 'us-ascii' : 'utf-8'}`,
    description: 'Explanation',
    encoding: plain ? '7bit' : eightBitPath ? '8bit' : 'quoted-printable',
    bytes: Buffer.from(text),
  }
}

function aboutRecipient(facts: DsnFacts, recipient: DsnRecipient): string {
  const lines = [`<${printable(recipient.address)}>`]
  if (recipient.action === 'failed' || recipient.action === 'delayed') {
    const { what, todo } = adviceFor(statusOf(facts, recipient), recipient.action, isPeers(recipient))
    lines.push(indented(what), ...wordsOf(recipient))
    if (recipient.action === 'failed') lines.push(indented(todo))
  }
  return lines.join('\r\n')
}

/** What was said, and by whom. */
function wordsOf(recipient: DsnRecipient): string[] {
  const words = replyWords(recipient)
  if (words === '') return []
  const peer = remoteMta(recipient)
  const speaker = !isPeers(recipient) ? 'The reason is' : peer === '' ? 'Its server said' : `The server ${peer} said`
  return [indented(`${speaker}: ${printable(words)}`)]
}

function closing({ envelope, queueId, postmaster }: DsnFacts, { whole }: Returned): string {
  return [
    paragraph(`The message was accepted here on ${mailDate(envelope.acceptedAt)} under the id ${queueId}.`),
    paragraph(whole ? 'It is attached.' : 'Its header is attached.'),
    paragraph(`For help write to ${postmaster} and include this report.`),
  ].join('\r\n')
}

function paragraph(text: string): string {
  return wrap(text, '', WIDTH).join('\r\n')
}

function indented(text: string): string {
  return INDENT + wrap(text, INDENT, WIDTH - INDENT.length).join('\r\n')
}
