// Debian's Postfix on a private configuration: the settings of a relay that is not held back.

import { withoutRootOr } from '../../test/support/peers/installed.ts'
import { Postfix } from '../../test/support/peers/postfix.ts'
import { execute } from '../../test/support/process.ts'
import { treeCpuUs } from '../macro/proc.ts'
import type { Peer, Running, Setup } from './peer.ts'

/** Its limits are raised so that fifty connections come in and go out at once; connections are reused. */
function settings(setup: Setup): Record<string, string> {
  return {
    default_process_limit: '200',
    smtpd_client_connection_count_limit: '0',
    smtp_destination_concurrency_limit: '100',
    default_destination_concurrency_limit: '100',
    initial_destination_concurrency: '50',
    smtp_connection_cache_destinations: '127.0.0.1',
    message_size_limit: '1073741824',
    mailbox_size_limit: '0',
    minimal_backoff_time: '300s',
    ...(setup.tls
      ? {
          smtpd_tls_security_level: 'may',
          smtpd_tls_cert_file: setup.tls.cert,
          smtpd_tls_key_file: setup.tls.key,
          smtp_tls_security_level: 'encrypt',
          smtp_tls_connection_reuse: 'yes',
        }
      : {}),
  }
}

async function start(setup: Setup): Promise<Running> {
  const reason = withoutRootOr('postfix')
  if (reason) throw new Error(`postfix ${reason}`)
  const peer = await Postfix.start({ relayhost: `[127.0.0.1]:${setup.nextPort}`, settings: settings(setup) })
  const master = peer.masterPid()
  return { port: peer.port, cpuUs: () => treeCpuUs(master), memoryBytes: () => undefined, stop: () => peer.stop() }
}

export const postfix: Peer = {
  name: 'postfix',
  durability: 'a file a message, fsync before the 250',
  share: 0.15,
  version: async () => (await execute(['/usr/sbin/postconf', '-dh', 'mail_version'])).stdout.trim(),
  start,
}
