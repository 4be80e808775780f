const { configure } = require('@testing-library/dom');

// Less than a test may take: what is waited for in vain is told.
configure({ asyncUtilTimeout: 25_000 });
