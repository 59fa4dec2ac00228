// The reference loop, a process of its own: the least that a Node server can do for an SMTP message. It answers each
// command with a fixed buffer, looks for the final dot, and stores, decides and schedules nothing. A server's CPU a message
// is read beside this one's, measured in the same run on the same machine.

import { Sink } from './sink.ts'

const sink = await Sink.start()
process.stdout.write(`reference ready ${sink.port}\n`)
