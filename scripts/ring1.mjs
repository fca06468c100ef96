#!/usr/bin/env node
// The command `ring1`, built first when the sources are newer than out/.

import { pathToFileURL } from 'node:url'
import { build, ENTRY } from './build.mjs'

const [major, minor] = process.versions.node.split('.').map(Number)
if (major < 20 || (major === 20 && minor < 19)) {
  process.stderr.write(`ring1: Node ${process.versions.node} is too old: 20.19 or newer is needed\n`)
  process.exit(71)
}
try {
  await build()
} catch (error) {
  process.stderr.write(`ring1: ${error.message}\n`)
  process.exit(71)
}
await import(pathToFileURL(ENTRY).href)
