// What `import … from 'rohrpost'` gives to a configuration file. Plain JavaScript for the reason in rohrpost.js: a
// checkout has only TypeScript, the installed package only what tsc made of it.

import { existsSync } from 'node:fs'

const source = new URL('./config/define-config.ts', import.meta.url)
const module = await import(existsSync(source) ? source.href : new URL('../dist/config/define-config.js', import.meta.url).href)
export const { defineConfig } = module
