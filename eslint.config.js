import tseslint from 'typescript-eslint'

// Time, chance and the host are not part of the machine (ARCHITECTURE.md, "Time"): only worker/ may see them.
const host = ['Date', 'performance', 'process', 'crypto', 'setTimeout', 'setInterval', 'setImmediate', 'queueMicrotask', 'fetch', 'console', 'require', 'Buffer']

export default tseslint.config(
  { ignores: ['node_modules', 'out', 'dist', '.cache', 'coverage'] },
  ...tseslint.configs.recommended,
  {
    linterOptions: { reportUnusedDisableDirectives: 'error' },
    rules: {
      '@typescript-eslint/no-non-null-assertion': 'off',
      '@typescript-eslint/no-unused-vars': ['error', { argsIgnorePattern: '^_', varsIgnorePattern: '^_' }],
      'no-constant-condition': ['error', { checkLoops: false }],
      eqeqeq: ['error', 'always'],
      'no-var': 'error',
      'prefer-const': 'error',
    },
  },
  {
    files: ['src-core/**/*.ts'],
    ignores: ['src-core/worker/**', 'src-core/guests/minos/load.ts'],
    rules: {
      'no-restricted-globals': ['error', ...host.map((name) => ({ name, message: 'The machine does not know its host.' }))],
      'no-restricted-properties': ['error', { object: 'Math', property: 'random', message: 'Runs repeat: there is no chance in the machine.' }],
      'no-restricted-imports': ['error', { patterns: [{ group: ['node:*', '@types/*', 'electron'], message: 'The machine does not know its host.' }] }],
    },
  },
)
