// Chapters and written pages come before the interface and the sources of the package.
var Scorer = {
  score: function (result) {
    var page = result[0];
    var weight = page.indexOf('notebooks/') === 0 ? 20 : /^(intro|method|tiny_world|claims|reading_notes|rerun)/.test(page) ? 15 : 0;
    return result[4] + weight;
  },
  objNameMatch: 11, objPartialMatch: 6, objPrio: { 0: 2, 1: 1, 2: -5 }, objPrioDefault: 0,
  title: 15, partialTitle: 7, term: 5, partialTerm: 2
};
