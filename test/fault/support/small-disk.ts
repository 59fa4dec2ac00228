// A file system of a few MB, where the rights to mount one are there.

import { execFileSync } from 'node:child_process'
import { closeSync, mkdirSync, openSync, rmSync, statfsSync, writeSync } from 'node:fs'
import { join } from 'node:path'
import { TempFolder } from '../../support/process.ts'

export const NO_MOUNT = 'needs the right to mount a tmpfs'

export class SmallDisk {
  readonly path: string
  readonly #folder: TempFolder

  private constructor(folder: TempFolder) {
    this.#folder = folder
    this.path = join(folder.path, 'disk')
  }

  /** undefined without the rights. */
  static mount(bytes: number): SmallDisk | undefined {
    const folder = new TempFolder('disk')
    const disk = new SmallDisk(folder)
    try {
      mkdirSync(disk.path)
      execFileSync('mount', ['-t', 'tmpfs', '-o', `size=${bytes}`, 'tmpfs', disk.path], { stdio: 'ignore' })
      return disk
    } catch {
      // Not everybody who runs the tests may mount; the test says that it was skipped.
      folder[Symbol.dispose]()
      return undefined
    }
  }

  get freeBytes(): number {
    const { bavail, bsize } = statfsSync(this.path)
    return bavail * bsize
  }

  /** Somebody else takes all the room that is left. */
  hog(): void {
    const file = openSync(join(this.path, 'hog'), 'w')
    try {
      for (;;) writeSync(file, Buffer.alloc(4096, 'h'))
    } catch (error) {
      if (!/ENOSPC/.test(String(error))) throw error
    } finally {
      closeSync(file)
    }
  }

  unhog(): void {
    rmSync(join(this.path, 'hog'))
  }

  [Symbol.dispose](): void {
    execFileSync('umount', ['-l', this.path])
    this.#folder[Symbol.dispose]()
  }
}
