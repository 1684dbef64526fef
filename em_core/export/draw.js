// Draws every figure of the page from its specification; where that fails, the still image stays.
// Expressions are interpreted (`ast`), so that the page needs no `eval`; no loader, so that nothing is fetched.
(function () {
  "use strict";
  var specifications = JSON.parse(document.getElementById("specifications").textContent);
  var dark = window.matchMedia("(prefers-color-scheme: dark)");
  var nothing = {
    load: function () { return Promise.reject(new Error("nothing is loaded")); },
    sanitize: function () { return Promise.reject(new Error("no links")); },
    http: function () { return Promise.reject(new Error("nothing is loaded")); },
    file: function () { return Promise.reject(new Error("nothing is loaded")); }
  };
  function style() {
    var text = dark.matches ? "#d7dbe2" : "#2b303b", faint = dark.matches ? "#3a404b" : "#e4e7ec";
    return {
      background: "transparent", font: "system-ui, Helvetica, Arial, sans-serif", text: { color: text },
      view: { stroke: faint },
      title: { color: text, subtitleColor: text, anchor: "start", fontSize: 14, subtitleFontSize: 12 },
      axis: { labelColor: text, titleColor: text, gridColor: faint, domainColor: faint, tickColor: faint, labelFontSize: 12, titleFontSize: 12 },
      legend: { labelColor: text, titleColor: text, labelFontSize: 12, titleFontSize: 12 },
      header: { labelColor: text, titleColor: text }
    };
  }
  function draw(place) {
    var specification = specifications[place.getAttribute("data-figure")];
    var options = { mode: "vega-lite", renderer: "svg", actions: false, ast: true, logLevel: 1, loader: nothing, config: style(), defaultStyle: true };
    return window.vegaEmbed(place, JSON.parse(JSON.stringify(specification)), options).then(function () {
      place.parentElement.classList.add("drawn");
      place.setAttribute("data-drawn", dark.matches ? "dark" : "light");
    }).catch(function (problem) {
      place.textContent = "";
      place.setAttribute("data-problem", String(problem));
    });
  }
  function all() { document.querySelectorAll("[data-figure]").forEach(draw); }
  dark.addEventListener("change", all);
  window.addEventListener("beforeprint", function () {
    document.querySelectorAll("details").forEach(function (each) { each.open = true; });
  });
  all();
})();
