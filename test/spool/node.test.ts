import { realWorld } from './support.ts'
import { spoolSuite } from './spool.suite.ts'

spoolSuite('real disk', realWorld)
