// Room inside the index's file ahead of what it uses, so that a commit never meets a full disk. Owner thread.
//
// A write that the disk refuses makes LMDB (in lmdb-js 3.5.6) print its error into too small a buffer, which corrupts
// the heap and sooner or later ends the process. So the file is extended by ordinary writes first: those fail politely.
// Bytes behind the last page are nothing to LMDB. New mail always leaves some, so that settlements, which make room,
// can be committed on a disk that others have filled.

import type { FileHandle, SpoolFiles } from './disk.ts'

const STEP_BYTES = 2 * 1024 * 1024
/** New mail leaves so much. */
const KEEP_BYTES = 2 * 1024 * 1024
/** Free list, branch pages and whatever else does not grow with the edits. */
const FIXED_BYTES = 512 * 1024
/** Copying a leaf, and now and then splitting it. */
const BYTES_PER_EDIT = 2 * 4096

const zeros = Buffer.alloc(256 * 1024)

export class Headroom {
  readonly #files: SpoolFiles
  readonly #path: string
  readonly #file: FileHandle
  /** End of the pages in use. */
  readonly #usedBytes: () => number
  #size: number
  /** What is left if all commits since the last look at the end of the pages took what they might. */
  #left = 0

  private constructor(files: SpoolFiles, path: string, file: FileHandle, size: number, usedBytes: () => number) {
    this.#files = files
    this.#path = path
    this.#file = file
    this.#size = size
    this.#usedBytes = usedBytes
  }

  static async open(files: SpoolFiles, path: string, usedBytes: () => number): Promise<Headroom> {
    const file = await files.open(path, 'write')
    return new Headroom(files, path, file, await files.size(file), usedBytes)
  }

  /** Bytes between the last page and the end of the file. */
  get bytes(): number {
    return Math.max(0, this.#size - this.#usedBytes())
  }

  /** Makes room for a commit of `edits` with `valueBytes` of values. Rejects when the disk has none. */
  async reserve(valueBytes: number, edits: number, newMail: boolean): Promise<void> {
    const need = FIXED_BYTES + valueBytes + edits * BYTES_PER_EDIT
    const keep = newMail ? KEEP_BYTES : 0
    if (this.#left < need + keep) {
      const used = this.#usedBytes()
      this.#left = this.#size - used
      if (this.#left < need + keep) await this.#extend(used + need + keep)
      this.#left = this.#size - used
    }
    this.#left -= need
  }

  async close(): Promise<void> {
    await this.#files.close(this.#file)
  }

  /**
   * To `target` and a good deal more, or to `target` alone when the disk is nearly full: a try that fails takes the last
   * room while it lasts, and body segments and event logs meet a full disk.
   */
  async #extend(target: number): Promise<void> {
    const ample = target + KEEP_BYTES + STEP_BYTES
    const freeBytes = await this.#files.freeBytes(this.#path)
    if (freeBytes > 2 * (ample - this.#size)) {
      try {
        return await this.#grow(ample)
      } catch {
        // A user's quota allows less than the disk has.
      }
    }
    await this.#grow(target)
  }

  async #grow(target: number): Promise<void> {
    const buffers: Buffer[] = []
    for (let left = target - this.#size; left > 0; left -= zeros.length) buffers.push(zeros.subarray(0, Math.min(left, zeros.length)))
    try {
      await this.#files.write(this.#file, buffers, this.#size)
      this.#size = target
    } catch (error) {
      // Half of it helps nobody, and the event log needs the room.
      await this.#files.truncate(this.#file, this.#size)
      throw error
    }
  }
}
