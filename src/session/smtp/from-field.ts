// Addresses of a From field (RFC 5322 §3.6.2, obsolete forms of §4.4 and RFC 6854 groups included). Pure.
//
// A text that a mail reader might understand in another way than we do must not pass: what is left over when names,
// comments and addresses are taken out makes the field unreadable.

/** One lexical step: quoted string, comment, domain literal, special, or a run of anything else. */
const TOKEN = /"(?:[^"\\]|\\[^])*"|\[(?:[^\][\\]|\\[^])*\]|[ \t\r\n]+|[()<>@,;:.]|[^\s"()<>[\]@,;:.\\]+/y
const COMMENT_DEPTH_MAX = 32

/** `local@domain` of every mailbox, as written; undefined when the field cannot be read or has no mailbox. */
export function fromAddresses(value: string): string[] | undefined {
  const tokens = tokenize(value)
  return tokens && new AddressList(tokens).read()
}

/** Tokens without white space and comments; undefined for what is no token. */
function tokenize(value: string): string[] | undefined {
  const tokens: string[] = []
  for (let at = 0; at < value.length;) {
    if (value[at] === '(') {
      at = commentEnd(value, at)
      if (at < 0) return undefined
      continue
    }
    TOKEN.lastIndex = at
    const token = TOKEN.exec(value)?.[0]
    if (token === undefined || token === ')') return undefined
    if (!/^\s/.test(token)) tokens.push(token)
    at += token.length
  }
  return tokens
}

/** Behind the comment at `at`, which may hold others; -1 when it has no end. */
function commentEnd(value: string, start: number): number {
  let depth = 0
  for (let at = start; at < value.length; at++) {
    const c = value[at]
    if (c === '\\') at++
    else if (c === '(' && ++depth > COMMENT_DEPTH_MAX) return -1
    else if (c === ')' && --depth === 0) return at + 1
  }
  return -1
}

class AddressList {
  readonly #tokens: readonly string[]
  readonly #addresses: string[] = []
  #at = 0

  constructor(tokens: readonly string[]) {
    this.#tokens = tokens
  }

  read(): string[] | undefined {
    while (this.#at < this.#tokens.length) {
      if (this.#take(',')) continue
      if (!this.#address()) return undefined
      if (this.#at < this.#tokens.length && !this.#take(',')) return undefined
    }
    return this.#addresses.length > 0 ? this.#addresses : undefined
  }

  #take(token: string): boolean {
    if (this.#tokens[this.#at] !== token) return false
    this.#at++
    return true
  }

  /** mailbox or group: only what follows the words tells which. */
  #address(): boolean {
    const from = this.#at
    this.#words()
    switch (this.#tokens[this.#at]) {
      case '<':
        return this.#angleAddress()
      case ':':
        return this.#at > from && this.#group()
      case '@':
        return this.#addrSpec(from)
      default:
        return false
    }
  }

  /** A phrase, or a local part: words and dots. */
  #words(): void {
    while (this.#at < this.#tokens.length && !/^[<>@,;:[]/.test(this.#tokens[this.#at] as string)) this.#at++
  }

  #angleAddress(): boolean {
    this.#at++
    if (this.#tokens[this.#at] === '@' && !this.#route()) return false
    const from = this.#at
    this.#words()
    return this.#addrSpec(from) && this.#take('>')
  }

  /** obs-route: `@a,@b:`. Without a comma or the colon it is an address that is somebody else's. */
  #route(): boolean {
    do {
      if (!this.#take('@') || !this.#domain()) return false
    } while (this.#take(','))
    return this.#take(':')
  }

  /** `name: mailbox, mailbox;` without groups inside. */
  #group(): boolean {
    this.#at++
    while (!this.#take(';')) {
      if (this.#take(',')) continue
      const from = this.#at
      this.#words()
      const isMailbox = this.#tokens[this.#at] === '<' ? this.#angleAddress() : this.#addrSpec(from)
      if (!isMailbox) return false
    }
    return true
  }

  /** The local part began at `from` and ends here. Words side by side without a dot are no local part. */
  #addrSpec(from: number): boolean {
    const local = this.#tokens.slice(from, this.#at)
    if (local.length % 2 === 0 || local.some((token, i) => (token === '.') !== (i % 2 === 1))) return false
    if (!this.#take('@')) return false
    const domainFrom = this.#at
    if (!this.#domain()) return false
    this.#addresses.push(`${local.join('')}@${this.#tokens.slice(domainFrom, this.#at).join('')}`)
    return true
  }

  /** dot-atom or domain-literal. */
  #domain(): boolean {
    if (this.#tokens[this.#at]?.startsWith('[')) {
      this.#at++
      return true
    }
    for (;;) {
      if (!/^[^<>@,;:."[(]/.test(this.#tokens[this.#at] ?? '')) return false
      this.#at++
      if (this.#tokens[this.#at] !== '.') return true
      this.#at++
    }
  }
}
