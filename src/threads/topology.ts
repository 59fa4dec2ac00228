// Which threads there are, what each owns and what it must never import: one table, held by test/tidy.

export type ThreadKind = 'main' | 'net' | 'scheduler' | 'deliver' | 'password'

export interface ThreadRow {
  /** Entry module, relative to src. */
  readonly entry: string
  /** How many: a number, or the key of `config.threads` that says so. */
  readonly count: 1 | 'net' | 'deliver' | '1 per net'
  readonly owns: string
  /**
   * Young generation of the heap in MB instead of 48, where every message makes objects. Memory of bodies counts towards it:
   * with more, it reaches the 64 MB at which V8 collects the whole heap before the young ones are looked at.
   */
  readonly youngGenerationMb?: number
  /** Paths under src that the entry's static imports must not reach. */
  readonly neverImports: readonly string[]
}

export const TOPOLOGY: Readonly<Record<ThreadKind, ThreadRow>> = {
  main: {
    entry: 'main.ts',
    count: 1,
    owns: 'configuration, supervision, signals, the map of shards to owners, ticket keys, control socket',
    neverImports: ['session/smtp', 'net/listener.ts', 'net/connection.ts', 'spool/owner.ts', 'spool/committer.ts', 'deliver/client.ts'],
  },
  net: {
    entry: 'threads/net.thread.ts',
    count: 'net',
    owns: 'listeners, sessions of every mail protocol, the shards given to it',
    youngGenerationMb: 24,
    neverImports: ['deliver', 'admin', 'cli', 'queue/schedule.ts'],
  },
  scheduler: {
    entry: 'threads/scheduler.thread.ts',
    count: 1,
    owns: 'schedules, ready queues, fairness, limits, grants',
    neverImports: ['net', 'wire', 'session', 'policy', 'deliver', 'admin', 'cli', 'spool/owner.ts', 'spool/shard.ts'],
  },
  deliver: {
    entry: 'threads/deliver.thread.ts',
    count: 'deliver',
    owns: 'outbound connections, attempts, routing, TLS policy of the peer',
    youngGenerationMb: 24,
    neverImports: ['session', 'store', 'admin', 'cli', 'spool/owner.ts', 'spool/committer.ts', 'queue/schedule.ts'],
  },
  password: {
    entry: 'threads/password.job.ts',
    count: '1 per net',
    owns: 'nothing: hashes one password after the other for the net thread that made it',
    neverImports: ['net', 'session/smtp', 'spool', 'queue', 'deliver', 'admin', 'cli'],
  },
}

/** `net.1`, `scheduler`, `deliver.2`: under these names threads show in logs, metrics and `ps`. */
export function threadNames(threads: { readonly net: number; readonly deliver: number }): string[] {
  const names = ['main', 'scheduler']
  for (let i = 1; i <= threads.net; i++) names.push(`net.${i}`)
  for (let i = 1; i <= threads.deliver; i++) names.push(`deliver.${i}`)
  return names
}

export function kindOf(name: string): ThreadKind {
  return name.split('.')[0] as ThreadKind
}

/** Who talks to whom besides main. */
export const CHANNELS: readonly (readonly [ThreadKind, ThreadKind])[] = [
  ['net', 'scheduler'],
  ['net', 'deliver'],
  ['deliver', 'scheduler'],
]

/** The owner of a shard: shards go round the net threads, so that the number of threads may change between starts. */
export function ownerOf(shard: number, netThreads: number): string {
  return `net.${(shard % netThreads) + 1}`
}
