// What the command line of `npm run bench` may say.

import { parseArgs } from 'node:util'

export interface BenchOptions {
  readonly peers: readonly string[]
  /** Bytes of a message, each a part of the table. */
  readonly sizes: readonly number[]
  readonly tls: boolean
  readonly connections: number
  /** 0 leaves it to the suite. */
  readonly messages: number
  readonly runs: number
  /** Messages on a connection; 0 means as many as there are. */
  readonly perConnection: number
  readonly pipelining: boolean
  /** Debian's smtp-source and smtp-sink in place of our own. */
  readonly neutral: boolean
  readonly threads: { readonly net: number; readonly deliver: number }
  /** '' writes no JSON. */
  readonly json: string
}

export const USAGE = `npm run bench -- SUITE [OPTIONS]

Suites
  accept     durable acceptance alone: everything is for a site that is down
  relay      source -> server -> sink, until the sink has every message
  spool      the spool in this process: group commits, bodies, settlements
  queue      memory with many messages queued for a dead site
  restart    a restart with them: ready, first delivery, all scheduled
  fanout     one message to 10,000 recipients over 2,000 sites, against single ones
  logins     acceptance while a thousand connections guess passwords

Options
  --peers postfix,haraka   run them too, paired, in the same run
  --size 1024,4096,102400  bytes of a message (default 4096)
  --connections N          at once (default 50)
  --messages N             a run, for Rohrpost; peers get as many as fit the same time (default: by suite)
  --runs N                 paired runs; figures are medians (default 5)
  --tls                    STARTTLS on both sides; --peers plain runs Rohrpost without, paired
  --per-connection N       messages a connection (default: all)
  --pipelining             MAIL, RCPT and DATA in one write
  --neutral                Debian's smtp-source and smtp-sink instead of ours
  --net N, --deliver N     threads of Rohrpost (default 1 and 1)
  --json FILE              everything measured, as JSON
`

function positive(name: string, text: string, min = 1): number {
  const value = Number(text)
  if (!Number.isSafeInteger(value) || value < min) throw new Error(`--${name} wants a whole number from ${min}, not ${text}`)
  return value
}

function list(text: string): string[] {
  return text.split(',').filter((word) => word !== '')
}

/** Throws with a sentence for the user. */
export function parseOptions(args: readonly string[]): { suite: string; options: BenchOptions } {
  const { values, positionals } = parseArgs({
    args: [...args],
    allowPositionals: true,
    options: {
      peers: { type: 'string', default: '' },
      size: { type: 'string', default: '4096' },
      connections: { type: 'string', default: '50' },
      messages: { type: 'string', default: '0' },
      runs: { type: 'string', default: '5' },
      tls: { type: 'boolean', default: false },
      'per-connection': { type: 'string', default: '0' },
      pipelining: { type: 'boolean', default: false },
      neutral: { type: 'boolean', default: false },
      net: { type: 'string', default: '1' },
      deliver: { type: 'string', default: '1' },
      json: { type: 'string', default: '' },
    },
  })
  const [suite, ...rest] = positionals
  if (suite === undefined || rest.length > 0) throw new Error('name one suite')
  const options: BenchOptions = {
    peers: list(values.peers),
    sizes: list(values.size).map((size) => positive('size', size, 256)),
    tls: values.tls,
    connections: positive('connections', values.connections),
    messages: positive('messages', values.messages, 0),
    runs: positive('runs', values.runs),
    perConnection: positive('per-connection', values['per-connection'], 0),
    pipelining: values.pipelining,
    neutral: values.neutral,
    threads: { net: positive('net', values.net), deliver: positive('deliver', values.deliver) },
    json: values.json,
  }
  if (options.neutral && options.tls) throw new Error('smtp-source speaks no TLS: --neutral and --tls do not go together')
  return { suite, options }
}
