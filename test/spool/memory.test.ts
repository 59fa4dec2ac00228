import { memoryWorld } from './support.ts'
import { spoolSuite } from './spool.suite.ts'

spoolSuite('simulated disk', memoryWorld)
