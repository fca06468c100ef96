// Entry of the bundle out/main/cli.js.
import { main } from './main.ts'

await main(process.argv.slice(2))
