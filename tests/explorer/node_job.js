// Runs explorer.js under node: reads a job, prints what it computes. Usage: node node_job.js EXPLORER JOB
'use strict';
const fs = require('fs');
const explorer = require(process.argv[2]);
const job = JSON.parse(fs.readFileSync(process.argv[3], 'utf8'));

(async () => {
  const scene = job.scene && (await explorer.decode(job.scene));
  const answers = [];
  for (const one of job.asked) {
    if (one.axis) {
      const { start, index, weight } = explorer.axisWeights(...one.axis);
      answers.push({ start: [...start], index: [...index], weight: [...weight] });
      continue;
    }
    if (one.numbers) { answers.push([...(await explorer.numbers(one.numbers))]); continue; }
    if (one.checked) { answers.push(explorer.checked(one.checked, [job.scene], one.before)); continue; }
    const source = explorer.sourceOf(scene, one), answer = {};
    if (one.labels) {
      const labels = explorer.finish(explorer.segmentation(scene, one));
      answer.labels = [...labels];
      if (scene.truth) answer.miou = explorer.scores(labels, scene.truth, scene.classes.length).miou;
    }
    if (one.patch !== undefined) {
      const rule = explorer.scaleAndThreshold(source, one.window, one);
      const row = explorer.attentionRow(source, one.window, one.patch, rule);
      answer.cosines = [...row.cosines];
      answer.kept = [...row.kept];
      answer.weights = [...row.weights];
      answer.statistics = explorer.statistics(source, one.window, rule);
      answer.histogram = [...explorer.histogram(source, one.window).counts];
      if (scene.truth) answer.own = explorer.weightOnOwn(explorer.coverage(scene, source, one.window), one.patch, row.weights);
    }
    answers.push(answer);
  }
  process.stdout.write(JSON.stringify(answers));
})();
