// A password job: argon2id and PBKDF2, which hold a thread up for tens of ms. Piscina worker, made by password-pool.ts.

import { deriveCredentials, verifyPassword } from '../session/auth/password-hash.ts'
import type { Credentials } from '../session/auth/ports.ts'

export type PasswordTask =
  | { readonly kind: 'verify'; readonly argon2id: string; readonly password: string }
  | { readonly kind: 'derive'; readonly password: string }

/** Whether the password is right, or its credentials. Throws when the stored hash is none. */
export default function passwordJob(task: PasswordTask): boolean | Credentials {
  return task.kind === 'verify' ? verifyPassword(task.argon2id, task.password) : deriveCredentials(task.password)
}
