// Reply codes and enhanced status codes by name, with the section that defines each. Pure, any thread.
//
// No other file of wire/smtp, session/smtp or policy holds such a number.

/** Basic reply codes, RFC 5321 §4.2.3 where nothing else stands. */
export const ReplyCode = {
  help: 214,
  ready: 220,
  closing: 221,
  /** RFC 4954 §6. */
  authSucceeded: 235,
  ok: 250,
  cannotVerify: 252,
  /** RFC 4954 §4. */
  authChallenge: 334,
  startInput: 354,
  unavailable: 421,
  /** RFC 4954 §6. */
  passwordTransition: 432,
  mailboxBusy: 450,
  localError: 451,
  insufficientStorage: 452,
  /** RFC 3207 §4, RFC 4954 §6. */
  temporaryAuthFailure: 454,
  cannotAccommodate: 455,
  syntax: 500,
  argumentSyntax: 501,
  notImplemented: 502,
  badSequence: 503,
  parameterNotImplemented: 504,
  /** RFC 3207 §4 and RFC 4954 §6. */
  required: 530,
  /** RFC 4954 §6. */
  mechanismTooWeak: 534,
  /** RFC 4954 §6. */
  credentialsInvalid: 535,
  /** RFC 4954 §6. */
  encryptionRequired: 538,
  mailboxUnavailable: 550,
  storageExceeded: 552,
  mailboxNameNotAllowed: 553,
  transactionFailed: 554,
  parametersNotRecognized: 555,
} as const

/** Enhanced status codes, RFC 3463 where nothing else stands. `''` is for replies that carry none (RFC 2034 §4). */
export const Enhanced = {
  none: '',
  ok: '2.0.0',
  senderOk: '2.1.0',
  recipientOk: '2.1.5',
  /** RFC 6710 §9.1: the requested priority was changed. */
  priorityChanged: '2.3.6',
  argumentsOk: '2.5.0',
  securityOk: '2.7.0',
  localError: '4.3.0',
  systemFull: '4.3.1',
  notAccepting: '4.3.2',
  timeout: '4.4.2',
  tooManyRecipients: '4.5.3',
  temporaryPolicy: '4.7.0',
  temporaryRefusal: '4.7.1',
  /** RFC 4954 §6. */
  passwordTransition: '4.7.12',
  other: '5.0.0',
  addressUnknown: '5.1.1',
  recipientSyntax: '5.1.3',
  senderSyntax: '5.1.7',
  tooBig: '5.3.4',
  routingLoop: '5.4.6',
  invalidCommand: '5.5.1',
  syntax: '5.5.2',
  invalidArguments: '5.5.4',
  /** RFC 4954 §6. */
  authLineTooLong: '5.5.6',
  media: '5.6.0',
  /** RFC 6531 §3.5. */
  nonAsciiAddress: '5.6.7',
  /** In use for bare CR and LF in content, unregistered. */
  bareLineEnd: '5.6.11',
  policy: '5.7.0',
  refused: '5.7.1',
  /** RFC 4954 §6. */
  credentialsInvalid: '5.7.8',
  /** RFC 4954 §6. */
  mechanismTooWeak: '5.7.9',
  /** RFC 4954 §6. */
  encryptionRequired: '5.7.11',
} as const

/** Class of a reply, its first digit (RFC 5321 §4.2.1). */
export const ReplyClass = { completed: 2, intermediate: 3, transient: 4, permanent: 5 } as const

export function replyClass(code: number): number {
  return Math.floor(code / 100)
}
