// What a status means to the person who sent the message: one sentence on what happened, one on what to do. Pure data.
//
// Keyed by subject and detail of RFC 3463; a subject alone is the fallback of its details.

export interface Advice {
  readonly what: string
  readonly todo: string
}

const TYPING = 'Check the address for typing errors, or ask the recipient in another way for the right one.'
const LATER = 'Send the message again later, or reach the recipient in another way.'
const ADMINISTRATOR = 'If it happens again, tell the administrator of your mail system and include this report.'
const MISTAKE = "If you think that this is a mistake, tell the recipient in another way and include the server's words."

const ADVICE: Readonly<Record<string, Advice>> = {
  '1': { what: 'The address was not accepted.', todo: TYPING },
  '1.1': { what: 'There is no such mailbox.', todo: TYPING },
  '1.2': { what: 'The domain of the address does not exist or takes no mail.', todo: 'Check the part after the @ for typing errors.' },
  '1.3': { what: 'The address is not written as the server wants it.', todo: TYPING },
  '1.4': { what: 'The address is ambiguous there.', todo: TYPING },
  '1.6': { what: 'The mailbox has moved.', todo: 'Ask the recipient in another way for the new address.' },
  '1.7': { what: 'Your own address was refused.', todo: ADMINISTRATOR },
  '1.8': { what: 'The domain of your own address was refused.', todo: ADMINISTRATOR },
  '1.10': { what: 'The domain of the address states that it takes no mail.', todo: 'Check the part after the @ for typing errors.' },
  '2': { what: 'The mailbox could not take the message.', todo: LATER },
  '2.1': { what: 'The mailbox is disabled.', todo: 'Reach the recipient in another way.' },
  '2.2': { what: 'The mailbox is full.', todo: LATER },
  '2.3': { what: 'The message is too large for the mailbox.', todo: 'Send a smaller message, or a link instead of the files.' },
  '3': { what: "The recipient's mail system could not take the message.", todo: LATER },
  '3.4': {
    what: "The message is too large for the recipient's mail system.",
    todo: 'Send a smaller message, or a link instead of the files.',
  },
  '4': { what: "The recipient's mail system could not be reached.", todo: LATER },
  '4.1': { what: "The recipient's mail system did not answer.", todo: LATER },
  '4.2': { what: "The connection to the recipient's mail system was bad.", todo: LATER },
  '4.3': { what: 'The directory of the domain (DNS) did not answer.', todo: LATER },
  '4.4': { what: 'There is no way to the domain of the address.', todo: 'Check the part after the @ for typing errors.' },
  '4.6': { what: 'The message went round in circles.', todo: ADMINISTRATOR },
  '4.7': { what: 'The time for delivery is over.', todo: LATER },
  '5': { what: 'The mail systems did not understand each other.', todo: ADMINISTRATOR },
  '5.3': { what: 'The message has too many recipients for the server.', todo: 'Send it to fewer recipients at a time.' },
  '6': { what: "The recipient's mail system cannot take what the message contains.", todo: 'Send it in another format.' },
  '6.7': {
    what: "The recipient's mail system cannot take addresses with such characters (SMTPUTF8).",
    todo: 'Use an address in plain letters, if there is one.',
  },
  '7': { what: "The message was refused by the rules of the recipient's mail system.", todo: MISTAKE },
  '7.1': { what: "The message was refused by the rules of the recipient's mail system.", todo: MISTAKE },
  '7.10': { what: 'The recipient requires encryption that could not be had.', todo: ADMINISTRATOR },
}

const REFUSED: Advice = { what: "The recipient's mail system refused the message.", todo: MISTAKE }
const UNDELIVERED: Advice = { what: 'It could not be delivered.', todo: LATER }
const GIVEN_UP: Advice = { what: 'It was given up.', todo: ADMINISTRATOR }
const OVERDUE: Advice = { what: 'It was not delivered by the time that was asked for.', todo: LATER }

/** Advice for a status such as `5.1.1`. `answered`: a peer decided. */
export function adviceFor(status: string, action: 'failed' | 'delayed', answered: boolean): Advice {
  const [kind, subject = '', detail = ''] = status.split('.')
  // Its time for delivery is not over.
  if (action === 'delayed' && `${subject}.${detail}` === '4.7') return OVERDUE
  return ADVICE[`${subject}.${detail}`] ?? ADVICE[subject] ?? (kind === '4' ? UNDELIVERED : answered ? REFUSED : GIVEN_UP)
}
