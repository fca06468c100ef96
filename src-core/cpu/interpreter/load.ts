// Where the running program gets the interpreter from: built from the rows, at start. A bundler replaces this one file.

import type { Form } from '../../isa/forms.ts'
import { buildInterpreter, type Interpreter } from './build.ts'
import { isHot } from './profile.ts'

/** The interpreter of all forms of the table. */
export const loadInterpreter = (forms: readonly Form[]): Interpreter => buildInterpreter(forms, isHot)
