/**
 * Everyday English words, nearly all of which common vocabularies hold as one token with their leading
 * space; the calibration measures what a given model makes of them.
 */
export const WORDS: readonly string[] = `
time year people way day man thing woman life child world school state family student group country
problem hand part place case week company system program question work government number night point
home water room mother area money story fact month lot right study book eye job word business issue
side kind head house service friend father power hour game line end member law car city community name
president team minute idea body information back parent face level office door health person art war
history party result change morning reason research girl guy moment air teacher force education food
light sound paper music picture street table river mountain garden window winter summer autumn spring
market station bridge letter language science nature animal bird fish horse tree flower grass stone
metal glass wood fire rain snow wind storm island ocean coast valley forest field farm village town
road train plane ship boat wheel engine machine tool key lock clock bell map plan list note page
cup plate knife bread milk cheese fruit apple orange salt sugar coffee tea meat rice oil butter egg
color red blue green yellow black white brown gray gold silver shape circle square corner edge
north south east west left center top bottom front middle inside outside near far high low deep
old new young long short small large great little early late fast slow hard soft warm cold dry
open close begin stop walk run talk speak listen read write learn teach think know see look watch
find keep give take bring send show tell ask answer call help play move stand sit turn hold carry
build break cut draw paint sing dance cook wash clean grow plant pick buy sell pay save spend count
`
  .trim()
  .split(/\s+/);
