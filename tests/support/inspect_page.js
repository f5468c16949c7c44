// What a reader would see of a page, once its equations, fonts and the images below the fold are there.
async () => {
  if (window.MathJax && MathJax.startup) await MathJax.startup.promise;
  const images = [...document.images];
  images.forEach(image => { image.loading = 'eager'; });
  await Promise.all(images.map(image => image.decode().catch(() => null)));
  await document.fonts.ready;
  const wide = document.documentElement.scrollWidth - document.documentElement.clientWidth;
  const visible = element => element.getClientRects().length > 0;
  const right = document.documentElement.clientWidth + 1;
  // what a reader has to scroll sideways: on a phone code may, and tables that say so
  const mayScroll = innerWidth < 600 ? '.goes-on, .highlight pre' : '.nothing';
  const scrolls = element => element.clientWidth > 1 && element.scrollWidth > element.clientWidth + 1
    && !element.closest('.math mjx-container') && !element.matches('span.math')
    && ['auto', 'scroll', 'hidden'].includes(getComputedStyle(element).overflowX);
  const described = element => `${element.tagName.toLowerCase()}.${element.className}`
    + ` ${element.scrollWidth - element.clientWidth}: ${element.textContent.trim().slice(0, 60)}`;
  const beyond = formula => {
    const place = formula.closest('p, li, td, th, dd, figcaption, div.math, article');
    return formula.getBoundingClientRect().right > place.getBoundingClientRect().right + 1;
  };
  return {
    title: document.title,
    broken: images.filter(image => !image.complete || image.naturalWidth === 0).map(image => image.src),
    without_alt: images.filter(image => /^\s*$|\.(png|svg|jpe?g)$/.test(image.alt)).map(image => image.src),
    formulas: document.querySelectorAll('.math').length,
    typeset: document.querySelectorAll('mjx-container').length,
    failed: document.querySelectorAll('mjx-merror, [data-mjx-error]').length,
    clipped: [...document.querySelectorAll('article *')]
      .filter(element => visible(element) && scrolls(element) && !element.matches(mayScroll)).map(described),
    formulas_beyond: [...document.querySelectorAll('article mjx-container')]
      .filter(formula => visible(formula) && beyond(formula)).map(formula => formula.textContent.slice(0, 80)),
    overflow: wide,
    widest: wide <= 0 ? [] : [...document.querySelectorAll('article *')]
      .filter(element => visible(element) && element.getBoundingClientRect().right > right)
      .slice(0, 5).map(element => element.outerHTML.slice(0, 120)),
  };
}
