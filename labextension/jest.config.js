module.exports = {
  rootDir: '.',
  testEnvironment: '<rootDir>/jest.environment.js',
  // What does not come at all is found all the same, and what is slow is no defect.
  testTimeout: 60_000,
  setupFilesAfterEnv: ['<rootDir>/jest.setup.js'],
  testMatch: ['<rootDir>/src/**/__tests__/*.test.ts?(x)'],
  // Packages of JupyterLab are ES modules.
  transformIgnorePatterns: [
    '/node_modules/(?!(@jupyter|@jupyterlab|@rjsf|@microsoft|@codemirror|@marijn|lib0|y-protocols|yjs|nanoid|exenv-es6|@lumino)/)'
  ],
  transform: {
    '\\.svg$': '<rootDir>/jest.svg.js',
    '\\.[jt]sx?$': ['ts-jest', { tsconfig: '<rootDir>/tsconfig.test.json' }]
  },
  moduleNameMapper: { '\\.css$': '<rootDir>/jest.css.js' }
};
