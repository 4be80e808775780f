// As the builder does: the text of the file.
module.exports = {
  process: text => ({
    code: `module.exports = { __esModule: true, default: ${JSON.stringify(text)} };`
  })
};
